"""The values that stay the same over denoising steps or passes, and that the sampler hands to every step."""

from typing import NamedTuple

import torch

from onetoall_cli.model.attention import Text
from onetoall_cli.model.rotary import RotaryTables


class Prepared(NamedTuple):
    """What one pass of one step needs besides the noisy latents; see the methods that make each.

    Attributes:
        text: From `encode_text`.
        reference_features: From `extract_reference`, at this step's time.
        prefix: From `encode_prefix`.
        rotary: From `rotary_tables`.
        pose: From `encode_pose`; None runs no pose branch.
    """

    text: tuple[Text, ...]
    reference_features: tuple[torch.Tensor, ...]
    prefix: torch.Tensor
    rotary: RotaryTables
    pose: torch.Tensor | None

    def check_fit(self, grid: list[int]) -> None:
        """Fail on values made for another size than `grid` (frames with the prefix, rows, columns, in tokens).

        Broadcasting or slicing would not fail, or not clearly.
        """
        one_frame = grid[1] * grid[2]
        length = grid[0] * one_frame
        counts = {
            "rotary tables": (self.rotary.full.cos.shape[0], length),
            "reference features": (self.reference_features[0].shape[1], one_frame),
            "pose": (length if self.pose is None else self.pose.shape[1], length),
        }
        for what, (found, needed) in counts.items():
            if found != needed:
                size = " x ".join(map(str, grid))
                raise ValueError(f"The {what} have {found} tokens, where {size} tokens need {needed}.")
