"""`onetoall extend`: continue an existing clip with more motion, from its last 5 frames."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

from typer import Argument, Option

from onetoall_cli.cli.alignment import align_values
from onetoall_cli.cli.generation import (
    generated_frames,
    get_ready,
    plan_fields,
    report_plan,
    resolve,
    wanted_model,
)
from onetoall_cli.cli.info import as_arguments, settings_record
from onetoall_cli.cli.inputs import Eyes, count_frames, read_driving, read_reference
from onetoall_cli.cli.memory import fitting_plan, settled
from onetoall_cli.cli.options import (
    AlignOptions,
    GenerationOptions,
    MemoryOptions,
    MotionOptions,
    SizeOptions,
    SpeedOptions,
    Target,
    VideoOptions,
    subcommand,
)
from onetoall_cli.cli.outputs import video_targets, write_video
from onetoall_cli.cli.report import Report
from onetoall_cli.errors import BadInput
from onetoall_cli.lattice import CONTEXT_FRAMES, SIZE_MULTIPLE
from onetoall_cli.outputs import default_name

if TYPE_CHECKING:
    import numpy as np

    from onetoall_cli.media import Audio, Video
    from onetoall_cli.pose import PoseSequence


@subcommand
def extend(
    clip: Annotated[Path, Argument(help="The video to continue.")],
    driving: Annotated[Path, Argument(help="More motion: video, GIF, folder of pictures or pose file.")],
    reference: Annotated[Path, Option(help="Picture of the character, as for `animate`.")],
    motion: MotionOptions,
    generation: GenerationOptions,
    speed: SpeedOptions,
    memory: MemoryOptions,
    video: VideoOptions,
    target: Target,
    report: Report,
    ref_pose: Annotated[Path | None, Option(help="Pose file of the reference.")] = None,
    clip_pose: Annotated[
        Path | None, Option(help="Pose file of the clip (its last frames count), where no person is found.")
    ] = None,
    face: Annotated[Literal["auto", "full", "light", "off"], Option(help="How strongly the face steers.")] = "auto",
    head: Annotated[Literal["auto", "full", "light"], Option(help="How strongly the head steers.")] = "auto",
) -> None:
    """Continue a clip with more motion, in one file.

    The person goes on from where the clip ends: the new motion is scaled and moved there as a whole.

    Example: onetoall extend out.mp4 dance2.mp4 --reference ref.png -o longer.mp4
    """
    from onetoall_cli.align import continue_motion
    from onetoall_cli.media import open_video

    taken = [clip, driving, reference, ref_pose, clip_pose]
    targets = video_targets(default_name(clip, ending="-extended.mp4"), target, inputs=taken)
    location = wanted_model(generation, report)
    generation, speed = resolve(generation, speed, location)
    existing = open_video(clip)
    _check_size(existing)
    if target.dry_run:
        at_clip_rate = replace(motion, fps=float(existing.fps))
        frames = CONTEXT_FRAMES + count_frames(driving, at_clip_rate)
        plan = plan_fields(generation, speed, frames, existing.width, existing.height, has_context=True)
        report_plan(report, location, generation, memory, plan)
        return
    ready = get_ready(report, location, generation, speed)
    tail = _last_frames(existing)
    with Eyes(motion.detector, generation.device, report) as eyes:
        image, reference_pose = read_reference(reference, ref_pose, eyes)
        source = read_driving(driving, motion, report, eyes)
        tail_pose = _tail_pose(tail, existing, clip_pose, eyes)
    joined = continue_motion(tail_pose, source.motion, frames=CONTEXT_FRAMES, fps=float(existing.fps))
    alignment = AlignOptions(align="pose", face=face, head=head)
    size = SizeOptions(width=existing.width, height=existing.height)
    conditioning = align_values(image, reference_pose, joined, alignment, size, location.defaults, report)
    plan = plan_fields(generation, speed, len(joined), existing.width, existing.height, has_context=True)
    fit = fitting_plan(report, location, generation, memory, plan)
    named = {"--reference": reference, "--ref-pose": ref_pose, "--clip-pose": clip_pose, "--face": face, "--head": head}
    arguments = [part for name, value in named.items() if value is not None for part in (name, str(value))]
    settings = (motion, generation, speed, settled(memory, fit), video)
    arguments += [part for group in settings for part in as_arguments(group)]
    count = write_video(
        targets,
        _joined_frames(existing, generated_frames(report, ready, conditioning, fit, context_frames=tail), joined.fps),
        conditioning,
        audio=_joined_sound(existing, source.audio) if video.audio else [],
        crf=video.crf,
        metadata=settings_record(
            ["extend", str(clip), str(driving), *arguments],
            model=location,
            result=plan,
        ),
    )
    duration = existing.duration + source.motion.duration
    report.result(
        f"{targets.video}  {duration:.2f} s, {count} frames, {existing.width} x {existing.height}",
        output=targets.video,
        frames=count,
        duration=duration,
        **{name: plan[name] for name in ("width", "height", "segments", "steps", "model")},
        seed=generation.seed,
    )


def _check_size(clip: Video) -> None:
    if clip.width % SIZE_MULTIPLE or clip.height % SIZE_MULTIPLE:
        raise BadInput(
            f"{clip.path} is {clip.width} x {clip.height}, and both sides must be multiples of {SIZE_MULTIPLE}.",
            "Scale or crop it first.",
        )


def _last_frames(clip: Video) -> list[np.ndarray]:
    """The clip's last 5 frames, uint8 (H, W, 3) each."""
    frames = deque((frame.image for frame in clip), maxlen=CONTEXT_FRAMES)
    if len(frames) < CONTEXT_FRAMES:
        raise BadInput(
            f"{clip.path} has {len(frames)} frame(s); {CONTEXT_FRAMES} are needed to continue from.",
            "Animate the reference instead.",
        )
    return list(frames)


def _tail_pose(tail: list[np.ndarray], clip: Video, pose_file: Path | None, eyes: Eyes) -> PoseSequence:
    """One person's poses at the end of the clip."""
    from onetoall_cli.pose import PoseSequence, select_person
    from onetoall_cli.pose.parts import on_canvas

    if pose_file is not None:
        poses = select_person(PoseSequence.load(pose_file), "auto")
        return on_canvas(poses[-CONTEXT_FRAMES:], clip.width, clip.height, pose_file)
    person = select_person(eyes.people_in_frames(tail, float(clip.fps)), "auto")
    if not person.present()[-1, 0]:
        raise BadInput(
            f"No person was found at the end of {clip.path}.", "Give the poses of the clip with --clip-pose FILE."
        )
    return person


def _joined_frames(clip: Video, generated: Iterator[np.ndarray], fps: float) -> Iterator[tuple[np.ndarray, float]]:
    """The clip's frames at their times, then the generated ones, which go on when the clip ends."""
    yield from ((frame.image, frame.time) for frame in clip)
    yield from ((frame, clip.duration + index / fps) for index, frame in enumerate(generated))


def _joined_sound(clip: Video, added: Audio | None) -> list[Audio]:
    """The clip's own sound, and from where it ends that of the new motion."""
    sounds = [clip.audio] if clip.audio else []
    return [*sounds, replace(added, at=clip.duration)] if added else sounds
