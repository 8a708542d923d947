"""Animate a character: one reference picture of any framing, one driving motion (One-to-All Animation, CVPR 2026).

The Python API is these names; everything else may change. They load on first use, so importing the package is free.

    PoseSequence                 a motion as a value, with its file formats
    open_detector, detect_poses  from frames to a motion
    Conditioning                 what the network is fed; made by `onetoall_cli.align.align`
    locate_model, load_pipeline  from a model's name to a pipeline on a device
    OneToAllPipeline             one segment, as a diffusers pipeline
    OneToAllTransformer3DModel   the network, as a diffusers model
    animate, SamplingSettings    a whole motion, frame by frame
    OnetoallError                base of every error that is the input's or the machine's
"""

import importlib
from typing import TYPE_CHECKING, Any

__version__ = "0.1.0"

if TYPE_CHECKING:
    from onetoall_cli.align import Conditioning
    from onetoall_cli.errors import OnetoallError
    from onetoall_cli.hub import locate_model
    from onetoall_cli.model import OneToAllTransformer3DModel
    from onetoall_cli.pose import PoseSequence, detect_poses, open_detector
    from onetoall_cli.sampling import OneToAllPipeline, SamplingSettings, animate, load_pipeline

_HOMES = {
    "Conditioning": "align",
    "OneToAllPipeline": "sampling",
    "OneToAllTransformer3DModel": "model",
    "OnetoallError": "errors",
    "PoseSequence": "pose",
    "SamplingSettings": "sampling",
    "animate": "sampling",
    "detect_poses": "pose",
    "load_pipeline": "sampling",
    "locate_model": "hub",
    "open_detector": "pose",
}

__all__ = [
    "Conditioning",
    "OneToAllPipeline",
    "OneToAllTransformer3DModel",
    "OnetoallError",
    "PoseSequence",
    "SamplingSettings",
    "animate",
    "detect_poses",
    "load_pipeline",
    "locate_model",
    "open_detector",
]


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(f"{__name__}.{_HOMES[name]}"), name)
