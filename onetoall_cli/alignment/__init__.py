"""Alignment of reference and motion: anchor, translation, retargeting, output canvas and previews."""

from onetoall_cli.alignment.aligning import Mode, align
from onetoall_cli.alignment.anchor import Anchor, choose_anchor
from onetoall_cli.alignment.canvas import FITS, Fit, unusual_size, working_size
from onetoall_cli.alignment.conditioning import Conditioning
from onetoall_cli.alignment.continuation import continue_motion
from onetoall_cli.alignment.decision import Decision, decide
from onetoall_cli.alignment.preview import anchor_frame, hatched, preview_frames, preview_picture
from onetoall_cli.alignment.retargeting import retarget
from onetoall_cli.alignment.translation import BodyScale, body_scale, height_scale

__all__ = [
    "FITS",
    "Anchor",
    "BodyScale",
    "Conditioning",
    "Decision",
    "Fit",
    "Mode",
    "align",
    "anchor_frame",
    "body_scale",
    "choose_anchor",
    "continue_motion",
    "decide",
    "hatched",
    "height_scale",
    "preview_frames",
    "preview_picture",
    "retarget",
    "unusual_size",
    "working_size",
]
