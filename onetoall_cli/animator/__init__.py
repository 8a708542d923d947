"""The main act as a library: a model loaded once animates, transfers and extends; results save themselves.

Nothing is printed here: choices and progress go to a `Listener`. Settings are plain values in `settings`.
"""

from typing import TYPE_CHECKING

from onetoall_cli.lazy_names import lazy_names

if TYPE_CHECKING:
    from onetoall_cli.animator.aligning import Aligned, align, align_inputs, defaults_of
    from onetoall_cli.animator.animator import Animator, load
    from onetoall_cli.animator.choice import choose_model
    from onetoall_cli.animator.ensure import ensure_model
    from onetoall_cli.animator.inputs import detect_poses
    from onetoall_cli.animator.plans import RunPlan
    from onetoall_cli.animator.progress import Listener
    from onetoall_cli.animator.results import Result, write_clip
    from onetoall_cli.animator.settings import Settings

__all__ = [
    "Aligned",
    "Animator",
    "Listener",
    "Result",
    "RunPlan",
    "Settings",
    "align",
    "align_inputs",
    "choose_model",
    "defaults_of",
    "detect_poses",
    "ensure_model",
    "load",
    "write_clip",
]

__getattr__, __dir__ = lazy_names(
    __name__,
    {
        "Aligned": "animator.aligning",
        "Animator": "animator.animator",
        "Listener": "animator.progress",
        "Result": "animator.results",
        "RunPlan": "animator.plans",
        "Settings": "animator.settings",
        "align": "animator.aligning",
        "align_inputs": "animator.aligning",
        "choose_model": "animator.choice",
        "defaults_of": "animator.aligning",
        "detect_poses": "animator.inputs",
        "ensure_model": "animator.ensure",
        "load": "animator.animator",
        "write_clip": "animator.results",
    },
)
