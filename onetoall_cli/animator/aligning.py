"""Reference and motion, read and brought together: what every run begins with."""

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from onetoall_cli.alignment import Conditioning, unusual_size
from onetoall_cli.alignment import align as align_poses
from onetoall_cli.animator.ensure import ensure_model
from onetoall_cli.animator.inputs import Driving, LazyDetector, Motion, Picture, name_of, read_driving, read_reference
from onetoall_cli.animator.plans import output_size
from onetoall_cli.animator.progress import Listener
from onetoall_cli.animator.records import aligned_record, make_record
from onetoall_cli.animator.settings import AlignSettings, Settings, SizeSettings, as_arguments
from onetoall_cli.errors import ModelMissing
from onetoall_cli.hub import GenerationDefaults
from onetoall_cli.media import Audio
from onetoall_cli.pose import PoseSequence


@dataclass(frozen=True, eq=False)
class Aligned:
    """A reference and a motion, and what became of them together.

    Attributes:
        image: The reference as it was given, uint8 (h, w, 3).
        reference_pose: Its pose, in its pixels.
        driving: The motion in pixels of its own frame, and its sound.
        conditioning: What the network is fed; its `meta["source"]` says how it was made.
        settings: As given, with every "auto" of the alignment replaced by what was decided.
    """

    image: NDArray[np.uint8]
    reference_pose: PoseSequence
    driving: Driving
    conditioning: Conditioning
    settings: Settings


def align_inputs(
    reference: Picture,
    driving: Motion,
    settings: Settings,
    defaults: GenerationDefaults,
    listener: Listener,
    device: str = "auto",
    *,
    in_driver_frame: bool = False,
) -> Aligned:
    """Read a reference and a motion, detect the poses in them and align them.

    With `in_driver_frame` the output has the driving frame's aspect instead of the reference's.

    Raises:
        BadInput: One of them cannot be read, has nobody in it, or they do not meet.
        ModelMissing: A detector is needed and not installed.
    """
    with LazyDetector(settings.motion, device, listener) as detector:
        image, pose = read_reference(reference, settings.alignment.ref_pose, detector)
        motion = read_driving(driving, settings.motion, listener, detector)
    framed = (motion.motion.width, motion.motion.height) if in_driver_frame else None
    conditioning, decided = bring_together(
        image, pose, motion.motion, settings.alignment, settings.size, defaults, listener, framed
    )
    settings = replace(settings, alignment=decided)
    arguments = ["align", name_of(reference), name_of(driving)]
    record = make_record([*arguments, *as_arguments(settings.motion, decided, settings.size)], model=None, result={})
    source = {**record, "audio": _audio_fields(motion.audio)}
    return Aligned(image, pose, motion, replace(conditioning, meta={**conditioning.meta, "source": source}), settings)


def bring_together(
    image: NDArray[np.uint8],
    reference_pose: PoseSequence,
    motion: PoseSequence,
    alignment: AlignSettings,
    size: SizeSettings,
    defaults: GenerationDefaults,
    listener: Listener,
    framed: tuple[int, int] | None = None,
) -> tuple[Conditioning, AlignSettings]:
    """`alignment.align` under the settings; and the settings with what it decided instead of "auto".

    The output has the aspect of `framed` (width, height), by default the picture's.
    """
    across, down = framed or (image.shape[1], image.shape[0])
    width, height = output_size(size, across, down, defaults.short_side)
    conditioning = align_poses(
        image,
        reference_pose,
        motion,
        width=width,
        height=height,
        mode=alignment.align,
        anchor=alignment.anchor,
        fit=alignment.fit,
        face=alignment.face if alignment.face != "auto" else defaults.face,
        head=alignment.head,
        canvas_short_side=defaults.pose_canvas_short_side,
    )
    meta = conditioning.meta
    for text in (meta["why"], meta.get("warning"), unusual_size(width, height, defaults.short_side)):
        if text:
            listener.note(text)
    decided = replace(
        alignment, align=meta["mode"], anchor=meta["anchor"], face=conditioning.face, head=conditioning.head
    )
    return conditioning, decided


def align(
    reference: Picture,
    driving: Motion,
    *,
    model: str | Path | None = None,
    settings: Settings = Settings(),
    listener: Listener = Listener(),
    **changes: object,
) -> Conditioning:
    """Bring a reference and a motion together without generating anything, to look at or change before `animate`.

    Args:
        reference: Picture of the character, any framing.
        driving: The motion.
        model: Whose default size to use; None: of the model `load` would take, or of the released 1.3B.
        settings: How; single ones by name, as `align="ref"` or `short_side=480`.
        listener: Told of choices and progress.
        **changes: Single settings of `Settings`, by name.

    Returns:
        The aligned input: `save` writes it as a folder, `Animator.animate` takes it as it is.

    Raises:
        BadInput, ModelMissing: As `Animator.animate`.
    """
    return align_inputs(reference, driving, settings.changed(**changes), defaults_of(model), listener).conditioning


def defaults_of(model: str | Path | None) -> GenerationDefaults:
    """The generation defaults of `model`; with None, of the one `load` would take, or the released ones without any.

    Raises:
        ModelMissing: The named model is not installed.
    """
    try:
        return ensure_model(None if model is None else str(model)).defaults
    except ModelMissing:
        if model is not None:
            raise
        return GenerationDefaults()


def sound_of(conditioning: Conditioning, listener: Listener) -> Audio | None:
    """The sound of the motion an aligned input was made from, if that file is still there.

    Raises:
        BadInput: The aligned folder's record is not ours.
    """
    record = aligned_record(conditioning)
    if record is None or record.audio is None:
        return None
    sound = record.audio
    if not sound.path.exists():
        listener.note(f"{sound.path} is gone: the result will be silent.")
        return None
    return Audio(sound.path, sound.start, sound.duration)


def _audio_fields(audio: Audio | None) -> dict[str, Any] | None:
    if audio is None:
        return None
    duration = None if audio.duration is None else float(audio.duration)
    return {"path": str(audio.path), "start": float(audio.start), "duration": duration}
