"""Whole sampling runs equal the research code's numbers."""

import numpy as np
import pytest
import torch
from diffusers import FlowMatchEulerDiscreteScheduler
from golden_recipe import DATA, picture, rnd, tiny_transformer, tiny_vae, uniform_video
from safetensors.torch import load_file

from onetoall_cli.sampling import OneToAllPipeline

CASES = {
    # name: (seed, H, W, T, steps, g_ref, g_pose, continues, known box or None for all)
    "animate": (1000, 64, 48, 9, 4, 2.5, 1.5, False, (8, 56, 8, 40)),
    "continue": (2000, 64, 48, 17, 3, 2.0, 1.5, True, None),
    "single_guidance": (3000, 64, 48, 9, 3, 1.5, 0, False, None),
    "image": (4000, 96, 64, 1, 5, 2.5, 1.5, False, (0, 48, 16, 64)),
}


@pytest.fixture(scope="module")
def pipeline():
    scheduler = FlowMatchEulerDiscreteScheduler(shift=7.0)
    return OneToAllPipeline(vae=tiny_vae(), transformer=tiny_transformer(), scheduler=scheduler)


@pytest.fixture(scope="module")
def golden():
    return load_file(DATA / "pipeline_tiny.safetensors")


def call(pipeline, case: str, output_type: str, **changes):
    seed, height, width, frames, steps, g_ref, g_pose, continues, known = CASES[case]
    mask = np.zeros((height, width), dtype=np.float32)
    if known is not None:
        y0, y1, x0, x1 = known
        mask[:] = 1
        mask[y0:y1, x0:x1] = 0
    arguments = {
        "image": picture(seed, height, width),
        "image_mask": mask,
        "pose_video": uniform_video(seed + 3, 1, 3, frames, height, width),
        "reference_pose": uniform_video(seed + 4, 1, 3, 1, height, width),
        "prompt_embeds": rnd(seed + 1, 1, 12, 64),
        "negative_prompt_embeds": rnd(seed + 2, 1, 12, 64),
        "latents": rnd(seed + 5, 1, 16, (frames - 1) // 4 + 1, height // 8, width // 8),
        "num_inference_steps": steps,
        "image_guidance_scale": g_ref,
        "pose_guidance_scale": g_pose,
        "context_frames": [picture(seed + 50 + i, height, width) for i in range(5)] if continues else None,
    }
    return pipeline(**{**arguments, **changes}, output_type=output_type).frames


@pytest.mark.parametrize("case", CASES)
def test_latents_equal_the_research_code(pipeline, golden, case):
    latents = call(pipeline, case, "latent")
    torch.testing.assert_close(latents, golden[f"{case}.latents"], atol=2e-3, rtol=0)


def test_frames_equal_the_research_code(pipeline, golden):
    frames = call(pipeline, "animate", "pt")
    torch.testing.assert_close(frames, golden["animate.frames"], atol=4e-3, rtol=0)
