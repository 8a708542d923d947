"""Values that are computed once for several denoising steps or passes."""

from typing import NamedTuple

import torch

from onetoall_cli.model.attention import Text
from onetoall_cli.model.rotary import RotaryTables


class Prepared(NamedTuple):
    """The inputs of one pass of one step besides the noisy latents.

    Attributes:
        text: From `encode_text`.
        reference_features: From `extract_reference`, at this step's time.
        prefix: From `encode_prefix`.
        rotary: From `rotary_tables`.
        pose: From `encode_pose`; None leaves the pose branch out.
    """

    text: tuple[Text, ...]
    reference_features: tuple[torch.Tensor, ...]
    prefix: torch.Tensor
    rotary: RotaryTables
    pose: torch.Tensor | None

    def check_fit(self, grid: list[int]) -> None:
        """Raise ValueError if a value has another size than `grid` (frames with the prefix, rows, columns, in tokens).

        Broadcasting or slicing would hide the mistake.
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
