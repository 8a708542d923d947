"""The network: denoiser, reference extractor, HRFA and pose encoder, on torch and diffusers."""

from onetoall_cli.model.configs import CONFIG_1_3B, CONFIG_14B
from onetoall_cli.model.prepared import Prepared
from onetoall_cli.model.published import CheckpointError, CheckpointMismatch, CheckpointUnreadable, KeyMapping
from onetoall_cli.model.rotary import RotaryTables
from onetoall_cli.model.transformer import OneToAllTransformer3DModel

__all__ = [
    "CONFIG_1_3B",
    "CONFIG_14B",
    "CheckpointError",
    "CheckpointMismatch",
    "CheckpointUnreadable",
    "KeyMapping",
    "OneToAllTransformer3DModel",
    "Prepared",
    "RotaryTables",
]
