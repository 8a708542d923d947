"""A synthetic world with ground truth: drawn characters ("puppets"), their motions, and exact whole-body keypoints."""

from onetoall_cli.puppets.identity import Identity, Split, sample_identity
from onetoall_cli.puppets.motion_from_poses import motion_from_poses
from onetoall_cli.puppets.render import Clip
from onetoall_cli.puppets.skeleton import Motion
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
    "motion_from_poses",
    "sample_identity",
    "sample_other_motion",
    "sample_pair",
    "sample_scene",
]
