"""The part that `align`, `animate`, `transfer` and `extend` share: inputs read, brought together, and their record."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from onetoall_cli.cli.generation import output_size
from onetoall_cli.cli.inputs import Driving, Eyes, is_pose_file, open_driving, read_driving, read_reference
from onetoall_cli.cli.options import AlignOptions, MotionOptions, SizeOptions
from onetoall_cli.cli.report import Report

if TYPE_CHECKING:
    import numpy as np

    from onetoall_cli.align import Conditioning
    from onetoall_cli.hub import GenerationDefaults
    from onetoall_cli.media import Audio
    from onetoall_cli.pose import PoseSequence


@dataclass(frozen=True)
class Inputs:
    """What is to be brought together: the picture, uint8 (H, W, 3), the pose of its person, and the motion."""

    image: np.ndarray
    reference_pose: PoseSequence
    driving: Driving


@dataclass(frozen=True)
class Job:
    """What `animate` starts from: aligned input, and the sound the result carries."""

    conditioning: Conditioning
    audio: Audio | None


def read_inputs(
    reference: Path, driving: Path, motion: MotionOptions, alignment: AlignOptions, report: Report, device: str = "auto"
) -> Inputs:
    """Read both files and detect the poses in them."""
    with Eyes(motion.detector, device, report) as eyes:
        image, pose = read_reference(reference, alignment.ref_pose, eyes)
        return Inputs(image, pose, read_driving(driving, motion, report, eyes))


def with_source(conditioning: Conditioning, record: dict[str, Any], audio: Audio | None) -> Conditioning:
    """`conditioning` that remembers how it was made, and its sound, which `animate --from` looks for."""
    return replace(conditioning, meta={**conditioning.meta, "source": {**record, "audio": _audio_fields(audio)}})


def align_values(
    image: np.ndarray,
    reference_pose: PoseSequence,
    motion: PoseSequence,
    alignment: AlignOptions,
    size: SizeOptions,
    defaults: GenerationDefaults,
    report: Report,
) -> Conditioning:
    """`onetoall_cli.align.align` under the command line's options; says what was decided."""
    from onetoall_cli.align import align

    width, height = output_size(size, image.shape[1], image.shape[0], defaults.short_side)
    conditioning = align(
        image,
        reference_pose,
        motion,
        width=width,
        height=height,
        mode=alignment.align,
        anchor=alignment.anchor,
        fit=alignment.fit,
        face=alignment.face,
        head=alignment.head,
        canvas_short_side=defaults.pose_canvas_short_side,
    )
    report.note(conditioning.meta["why"])
    return conditioning


def decided(options: AlignOptions, conditioning: Conditioning) -> AlignOptions:
    """`options` with every "auto" replaced by what alignment decided."""
    meta = conditioning.meta
    return replace(options, align=meta["mode"], anchor=meta["anchor"], face=conditioning.face, head=conditioning.head)


def load_aligned(folder: Path, report: Report) -> Job:
    """A folder that `onetoall align` wrote; its sound comes from the driving video, if that is still there."""
    from onetoall_cli.align import Conditioning
    from onetoall_cli.media import Audio

    conditioning = Conditioning.load(folder)
    fields = conditioning.meta.get("source", {}).get("audio")
    if fields is None:
        return Job(conditioning, None)
    if not Path(fields["path"]).exists():
        report.note(f"{fields['path']} is gone: the result will be silent.")
        return Job(conditioning, None)
    return Job(conditioning, Audio(Path(fields["path"]), fields["start"], fields["duration"]))


def _audio_fields(audio: Audio | None) -> dict[str, Any] | None:
    if audio is None:
        return None
    duration = None if audio.duration is None else float(audio.duration)
    return {"path": str(audio.path), "start": float(audio.start), "duration": duration}


def driving_pictures(driving: Path, motion: MotionOptions) -> Iterator[np.ndarray]:
    """The driving video's pictures, one for each frame of the motion; none for a pose file or a resampled motion."""
    if not is_pose_file(driving) and (motion.fps is None or driving.is_dir()):
        yield from (frame.image for frame in open_driving(driving, motion))
