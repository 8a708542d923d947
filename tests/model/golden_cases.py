"""The golden README's table of cases: inputs from their seeds, and what a sampler would prepare from them."""

from dataclasses import dataclass
from functools import cache
from typing import Any

import torch
from golden_recipe import TINY, published_state_dict, rnd

from onetoall_cli.model import OneToAllTransformer3DModel


@dataclass(frozen=True)
class Case:
    """One row of the README's table: seed, frames, pixels, time, text rows, context latents, pose scale."""

    seed: int
    frames: int
    height: int
    width: int
    timestep: int
    rows: int
    num_context_frames: int
    pose_scale: float

    @property
    def latent_size(self) -> tuple[int, int, int]:
        return (self.frames - 1) // 4 + 1, self.height // 8, self.width // 8

    def inputs(self) -> dict[str, torch.Tensor]:
        """The tensors of `forward`, by argument name."""
        s, (n, h, w) = self.seed, self.latent_size
        return {
            "hidden_states": rnd(s, 1, 16, n, h, w),
            "timestep": torch.tensor([self.timestep]),
            "encoder_hidden_states": rnd(s + 1, 1, self.rows, 64),
            "reference_latents": rnd(s + 2, 1, 32, 1, h, w),
            "pose_video": rnd(s + 3, 1, 3, self.frames, self.height, self.width).clamp(-1, 1),
            "reference_pose": rnd(s + 4, 1, 3, 1, self.height, self.width).clamp(-1, 1),
        }


CASES = {
    "plain": Case(100, 9, 64, 48, 640, 12, 0, 1.0),
    "token_replace": Case(200, 17, 64, 48, 640, 12, 2, 1.0),
    "no_pose": Case(300, 9, 64, 48, 640, 12, 0, 0.0),
    "image": Case(400, 1, 96, 64, 37, 12, 0, 1.0),
    "long_text": Case(500, 13, 64, 48, 999, 226, 2, 1.0),
}


@cache
def weights() -> dict[str, torch.Tensor]:
    """The tiny network's published weights; not to be written to."""
    return published_state_dict()


def new_model(**options: Any) -> OneToAllTransformer3DModel:
    """The golden tiny network with weights of its own, for a test that changes it."""
    own = {name: value.clone() for name, value in weights().items()}
    return OneToAllTransformer3DModel.from_published(own, **TINY, **options)


def prepare(model: OneToAllTransformer3DModel, case: Case, inputs: dict[str, torch.Tensor]) -> dict[str, Any]:
    """What the sampler prepares once per segment, as `denoise`'s keywords."""
    n, h, w = case.latent_size
    rotary = model.rotary_tables(n + 1, h, w)
    runs_pose = case.pose_scale != 0
    return {
        "text": model.encode_text(inputs["encoder_hidden_states"]),
        "reference_features": model.extract_reference(inputs["reference_latents"], inputs["timestep"], rotary),
        "prefix": model.encode_prefix(inputs["reference_latents"]),
        "pose": model.encode_pose(inputs["pose_video"], inputs["reference_pose"]) if runs_pose else None,
        "rotary": rotary,
        "pose_scale": case.pose_scale,
        "num_context_frames": case.num_context_frames,
    }
