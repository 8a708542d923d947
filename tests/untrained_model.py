"""A small model directory with random weights: every real stage runs, the pictures are noise.

    python tests/untrained_model.py DIR

Until a trained small model ships with the package, this is what the commands are tested with.
"""

import sys
from pathlib import Path


def build_untrained_model(folder: Path, *, short_side: int = 32, segment_frames: int = 13) -> Path:
    """Write the model directory `folder`; deterministic."""
    import torch
    from diffusers import AutoencoderKLWan, FlowMatchEulerDiscreteScheduler

    from onetoall_cli.hub import GenerationDefaults
    from onetoall_cli.model import OneToAllTransformer3DModel
    from onetoall_cli.sampling import OneToAllPipeline, save_model
    from onetoall_cli.weights import PromptStore

    torch.manual_seed(0)
    text_dim = 32
    pipeline = OneToAllPipeline(
        vae=AutoencoderKLWan(base_dim=8, z_dim=16, dim_mult=[1, 2, 2, 2], num_res_blocks=1),
        transformer=OneToAllTransformer3DModel(
            num_attention_heads=2,
            attention_head_dim=32,
            ffn_dim=128,
            text_dim=text_dim,
            num_layers=3,
            num_reference_layers=1,
            num_pose_layers=1,
        ),
        scheduler=FlowMatchEulerDiscreteScheduler(shift=7.0),
    )
    defaults = GenerationDefaults(
        short_side=short_side,
        num_inference_steps=2,
        max_segment_frames=segment_frames,
        pose_canvas_short_side=540,
        max_text_tokens=8,
    )
    save_model(pipeline, defaults, folder)
    store = PromptStore(folder / "prompt_embeds.safetensors")
    store.put_all({"": torch.randn(1, text_dim), defaults.negative_prompt: torch.randn(5, text_dim)})
    return folder


if __name__ == "__main__":
    print(build_untrained_model(Path(sys.argv[1]), short_side=96))
