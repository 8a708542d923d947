"""Animate a character: one reference picture of any framing, one driving motion (One-to-All Animation, CVPR 2026).

    import onetoall_cli as onetoall

    animator = onetoall.load("1.3b")                        # a name, a folder or hf:OWNER/REPO; loaded once
    result = animator.animate("ref.png", "dance.mp4", seed=7)
    result.save("out.mp4")                                  # with the dance's clock and sound
    for frame in animator.animate("ref.png", "dance.mp4"):  # or as frames, uint8 (H, W, 3), in constant memory
        ...
    animator.transfer("ref.png", "pose.json").save("posed.png")

Inputs are files, pictures, arrays, `PoseSequence`s, or what `align` made of them. Settings are named like the command
line's options. Errors are `OnetoallError`s, each with a sentence on what is wrong and one on what to do. Nothing is
printed: a `Listener` hears of choices and progress. These names are the public API; everything else may change.

    load            a model, ready to animate: Animator, whose runs are Results
    align           reference and motion brought together, to look at or to change: Conditioning
    detect_poses    the people of a video or picture: PoseSequence
    read_picture, open_video                                files as arrays
    Settings, ModelSettings, MotionSettings, AlignSettings, SizeSettings, SceneSettings, GenerationSettings,
    VideoSettings
    OnetoallError, BadInput, ModelMissing, OutOfResources
"""

import logging
from typing import TYPE_CHECKING

from onetoall_cli.lazy_names import lazy_names

__version__ = "0.1.0"

# diffusers imports bitsandbytes, which warns on stderr of an optional kernel
logging.getLogger("bitsandbytes.backends.cpu.ops").setLevel(logging.ERROR)

if TYPE_CHECKING:
    from onetoall_cli.alignment import Conditioning
    from onetoall_cli.animator import Animator, Listener, Result, align, detect_poses, load
    from onetoall_cli.animator.settings import (
        AlignSettings,
        GenerationSettings,
        ModelSettings,
        MotionSettings,
        SceneSettings,
        Settings,
        SizeSettings,
        VideoSettings,
    )
    from onetoall_cli.errors import BadInput, ModelMissing, OnetoallError, OutOfResources
    from onetoall_cli.media import open_video, read_picture
    from onetoall_cli.pose import PoseSequence

__all__ = [
    "AlignSettings",
    "Animator",
    "BadInput",
    "Conditioning",
    "GenerationSettings",
    "Listener",
    "ModelMissing",
    "ModelSettings",
    "MotionSettings",
    "OnetoallError",
    "OutOfResources",
    "PoseSequence",
    "Result",
    "SceneSettings",
    "Settings",
    "SizeSettings",
    "VideoSettings",
    "__version__",
    "align",
    "detect_poses",
    "load",
    "open_video",
    "read_picture",
]

__getattr__, __dir__ = lazy_names(
    __name__,
    {
        **dict.fromkeys(("Animator", "Listener", "Result", "align", "detect_poses", "load"), "animator"),
        **dict.fromkeys(("BadInput", "ModelMissing", "OnetoallError", "OutOfResources"), "errors"),
        **dict.fromkeys((name for name in __all__ if name.endswith("Settings")), "animator.settings"),
        **dict.fromkeys(("open_video", "read_picture"), "media"),
        "Conditioning": "alignment",
        "PoseSequence": "pose",
    },
)
