"""Sample sheets of a training: results of the averaged network for held-out puppets, or for fixed clips of a folder."""

from pathlib import Path

import numpy as np
import torch
from diffusers import AutoencoderKLWan, FlowMatchEulerDiscreteScheduler
from numpy.typing import NDArray
from torch import Tensor

from onetoall_cli.media import picture_grid, write_picture
from onetoall_cli.model import OneToAllTransformer3DModel
from onetoall_cli.model.pixels import to_tensor, to_uint8
from onetoall_cli.training.checkpoints import Average
from onetoall_cli.training.examples import Example, make_example
from onetoall_cli.training.recipe import BatchPlan, TrainingSettings, nearest_aspect
from onetoall_cli.training.sources import PUPPET_FPS, ClipSource, PuppetSource, Window

SHIFT = 7.0  # shift of the sampling times: released inference setting
GUIDANCE = 1.5  # both scales: the paper's inference setting


def write_sample_sheet(
    path: Path,
    network: OneToAllTransformer3DModel,
    average: Average,
    vae: AutoencoderKLWan,
    text: Tensor,
    source: ClipSource,
    settings: TrainingSettings,
) -> None:
    """Write a PNG with a row for each clip: masked reference, then driving pose, truth and result of three frames."""
    with average.applied(network), torch.autocast(vae.device.type, torch.bfloat16, enabled=settings.bf16):
        rows = []
        for number in range(settings.sample_count):
            example = sample_example(source, settings, number)
            rows.append(_row(example, generate(example, network, vae, text, settings, seed=number)))
    path.parent.mkdir(parents=True, exist_ok=True)
    write_picture(path, picture_grid(rows))


def sample_example(source: ClipSource, settings: TrainingSettings, number: int) -> Example:
    """The sample of row `number`, the same at every call; every second row has a face-centred mask."""
    puppets = isinstance(source, PuppetSource)
    shown: ClipSource = PuppetSource(split="validation", fps=settings.fps or PUPPET_FPS) if puppets else source
    rng = np.random.default_rng([number, 7])
    # Videos have windows of one length only.
    frames = min(settings.sample_frames, settings.frames) if puppets else settings.frames
    if settings.data.source == "pictures":
        frames = 1
    (clip_number,), aspect = shown.draw(rng, 1, frames)
    width, height = settings.sizes[0].size(nearest_aspect(aspect or min(settings.aspects), settings.aspects))
    plan = BatchPlan(frames, width, height, "nothing", token_replace=False)
    mask, given = float(number % 2), {"drop_both": 0.0, "drop_reference": 0.0, "mask_pictures_always": False}
    stage = settings.conditions_of_stage.changed(mask=mask, **given)
    clip = shown.clip(clip_number, Window(width, height, frames, cached=False), rng)
    return make_example(clip, plan, stage, settings, shown, rng)


def generate(
    example: Example,
    network: OneToAllTransformer3DModel,
    vae: AutoencoderKLWan,
    text: Tensor,
    settings: TrainingSettings,
    seed: int,
) -> Tensor:
    """Generate frames for an example, (T, 3, H, W) in [-1, 1]."""
    from onetoall_cli.sampling import OneToAllPipeline  # lazy: only sample sheets need it

    assert example.pose is not None and example.reference_pose is not None
    pipeline = OneToAllPipeline(vae=vae, transformer=network, scheduler=FlowMatchEulerDiscreteScheduler(shift=SHIFT))
    pipeline.set_progress_bar_config(disable=True)
    with torch.no_grad():
        (frames,) = pipeline(
            image=example.reference,
            image_mask=example.mask.astype(np.float32),
            pose_video=to_tensor(example.pose[None]),
            reference_pose=to_tensor(example.reference_pose[None, None]),
            prompt_embeds=text,
            negative_prompt_embeds=text,
            num_inference_steps=settings.sample_steps,
            image_guidance_scale=GUIDANCE,
            pose_guidance_scale=GUIDANCE,
            generator=torch.Generator().manual_seed(seed),
            output_type="pt",
            return_dict=False,
        )
    return frames[0].transpose(0, 1)


def _row(example: Example, result: Tensor) -> list[NDArray[np.uint8]]:
    assert example.pose is not None and example.clip.frames is not None
    made = to_uint8(result)
    row = [np.where(example.mask[..., None], np.uint8(255), example.reference)]
    for frame in sorted({0, len(made) // 2, len(made) - 1}):
        row += [example.pose[frame], example.clip.frames[frame], made[frame]]
    return row
