"""A world with ground truth: procedural articulated characters, their motions, and exact whole-body keypoints."""

from onetoall_cli.puppets.identity import Identity, Split, sample_identity
from onetoall_cli.puppets.render import Clip
from onetoall_cli.puppets.skeleton import Motion
from onetoall_cli.puppets.traced_motion import retrace
from onetoall_cli.puppets.world import (
    FPS,
    MOVE_FRAMES,
    Framing,
    Pair,
    PairKind,
    Scene,
    sample_other_motion,
    sample_pair,
    sample_scene,
)

__all__ = [
    "FPS",
    "MOVE_FRAMES",
    "Clip",
    "Framing",
    "Identity",
    "Motion",
    "Pair",
    "PairKind",
    "Scene",
    "Split",
    "retrace",
    "sample_identity",
    "sample_other_motion",
    "sample_pair",
    "sample_scene",
]
