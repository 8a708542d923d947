"""`Animator`: a model that is found once, loaded when it is first needed, and animates as often as asked."""

from collections import deque
from collections.abc import Mapping, Sequence
from dataclasses import fields, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from onetoall_cli.alignment import Conditioning, continue_motion, unusual_size
from onetoall_cli.animator.aligning import Aligned, align_inputs, bring_together, sound_of
from onetoall_cli.animator.engine import Engine
from onetoall_cli.animator.ensure import ensure_model
from onetoall_cli.animator.inputs import (
    LazyDetector,
    Motion,
    Picture,
    as_picture,
    count_frames,
    frame_size,
    holds_poses,
    name_of,
    read_driving,
    read_reference,
)
from onetoall_cli.animator.plans import RunPlan, output_size
from onetoall_cli.animator.progress import FETCHING, Listener
from onetoall_cli.animator.resolving import Resolved
from onetoall_cli.animator.results import Result
from onetoall_cli.animator.settings import (
    AlignSettings,
    ModelSettings,
    Settings,
    SizeSettings,
    as_arguments,
    check_names,
)
from onetoall_cli.animator.staging import (
    cast_of,
    check_apart,
    check_no_scene,
    check_scene,
    in_the_dancer_s_place,
    stage_of,
)
from onetoall_cli.errors import BadInput
from onetoall_cli.hub import GenerationDefaults, ModelLocation
from onetoall_cli.lattice import SIZE_MULTIPLE
from onetoall_cli.media import Audio, Video, open_video, video_of_frames
from onetoall_cli.pose import PoseSequence, select_person
from onetoall_cli.pose.cropping import on_canvas
from onetoall_cli.scene.backgrounds import DRIVER, REFERENCE

_OF_ALL_RUNS = ("draft", "pose_cache")  # settings of size and motion that an aligned input takes too


def load(
    model: str | Path | None = None,
    *,
    settings: ModelSettings = ModelSettings(),
    listener: Listener = Listener(),
    **changes: object,
) -> "Animator":
    """Find a model on this machine and make it ready to animate.

    Args:
        model: A name (`1.3b`, `tiny`), a folder, or `hf:OWNER/REPO`; None: the best installed one that fits.
        settings: How it is loaded.
        listener: Told of choices and progress.
        **changes: Single settings of `ModelSettings`, by name: `device="cpu"`, `lora=["style.safetensors:0.8"]`.

    Raises:
        ModelMissing: It is not installed, or not whole; the message has the command that brings it.
        BadInput: A setting, a device or a LoRA that cannot be used.
    """
    check_names(changes, [each.name for each in fields(ModelSettings)])
    if model is not None:
        changes = {**changes, "model": str(model)}
    return Animator.load(replace(settings, **changes), listener)  # type: ignore[arg-type]


class Animator:
    """A model ready to animate; made by `load`.

    Its weights are loaded by the first run, in the way that fits the memory then, and stay for the next ones.

    Attributes:
        engine: The model itself.
    """

    def __init__(
        self, location: ModelLocation, settings: ModelSettings = ModelSettings(), listener: Listener = Listener()
    ) -> None:
        self.engine = Engine(location, settings, listener)

    @classmethod
    def load(cls, settings: ModelSettings, listener: Listener = Listener()) -> "Animator":
        """As the function `load`."""
        location = ensure_model(
            settings.model,
            auto_fetch=settings.auto_fetch,
            note=listener.note,
            progress=listener.counter(FETCHING),
        )
        animator = cls(location, settings, listener)
        listener.note(f"Model {location.name} on {animator.engine.device}.")
        return animator

    @property
    def name(self) -> str:
        """Of the model, as the user would name it."""
        return self.engine.location.name

    @property
    def defaults(self) -> GenerationDefaults:
        """The model's generation defaults."""
        return self.engine.location.defaults

    # -- runs ---------------------------------------------------------------------------------------------------

    def animate(
        self,
        reference: Picture | Conditioning,
        driving: Motion | None = None,
        *,
        settings: Settings = Settings(),
        **changes: object,
    ) -> Result:
        """Animate the character of a picture with a motion; the frames are made when the result is read or saved.

        Args:
            reference: Picture of the character, any framing; or an aligned input (a folder that `onetoall align` wrote,
                or the value), which takes the place of both.
            driving: The motion: a video, a folder of pictures, a pose file, poses, or frames.
            settings: How.
            **changes: Single settings of `Settings`, by name: `seed=7`, `duration=3.0`, `short_side=480`.

        Raises:
            BadInput: An input cannot be read, has nobody in it, or a setting cannot be.
            ModelMissing: A detector or a prompt's embedding is not here.
            OutOfResources: The run would not fit the memory.
        """
        settings = settings.changed(**changes)
        resolved = self.engine.ready(settings)
        scene, aligned = settings.scene, list[Aligned]()
        check_scene(scene, driving)
        if driving is None:
            conditioning = as_aligned(reference)
            check_nothing_to_align(settings)
            sources: dict[str, object] = {"from": reference}
            arguments: tuple[str, ...] = ("animate", "--from", name_of(reference))
            audio = sound_of(conditioning, self.engine.listener)
        else:
            aligned = self._aligned(not_aligned(reference), driving, settings)
            conditioning, audio, settings = aligned[0].conditioning, aligned[0].driving.audio, aligned[0].settings
            sources = {"reference": reference, "driving": driving, "ref-pose": settings.alignment.ref_pose}
            said = as_arguments(settings.motion, settings.alignment, settings.size)
            arguments = ("animate", name_of(reference), name_of(driving), *said)
        runs: list[tuple[Conditioning, PoseSequence | None]] = [(conditioning, None)]
        if aligned:
            runs = [(each.conditioning, each.driving.motion) for each in aligned]
        if scene.background not in (REFERENCE, DRIVER) and Path(scene.background).exists():
            sources["background"] = scene.background
        sources.update({f"cast {who}": picture for who, picture in cast_of(scene).items()})
        arguments = (*arguments, *as_arguments(scene))
        result = self._result(arguments, resolved, conditioning, sources, audio=(audio,) if audio else ())
        others = [self._result(arguments, resolved, each.conditioning, sources) for each in aligned[1:]]
        return replace(result, stage=stage_of(scene, runs, driving, settings), others=tuple(others))

    def _aligned(self, reference: Picture, driving: Motion, settings: Settings) -> list[Aligned]:
        """The inputs of the first character, and of those that play beside it."""
        listener, device, cast = self.engine.listener, self.engine.settings.device, cast_of(settings.scene)
        in_place = bool(cast) or settings.scene.background == DRIVER
        if in_place:
            settings = in_the_dancer_s_place(settings)
        playing = [(reference, settings)]
        playing += [(picture, settings.changed(person=who, ref_pose=None)) for who, picture in cast.items()]
        made = [
            align_inputs(picture, driving, own, self.defaults, listener, device, in_driver_frame=in_place)
            for picture, own in playing
        ]
        check_apart([(own.motion.person, each.driving.motion) for (_, own), each in zip(playing, made, strict=True)])
        return made

    def transfer(
        self,
        reference: Picture,
        pose: Motion | Picture,
        *,
        pose_frame: int = 0,
        settings: Settings = Settings(),
        **changes: object,
    ) -> Result:
        """Show the character of a picture in another pose: a result of one frame.

        Args:
            reference: Picture of the character, any framing.
            pose: A picture of a person in the wanted pose, a pose file, or poses.
            pose_frame: Which frame of the poses.
            settings, **changes: As for `animate`.

        Raises:
            BadInput, ModelMissing, OutOfResources: As `animate`.
        """
        settings = settings.changed(**changes)
        check_no_scene(settings.scene)
        resolved = self.engine.ready(settings)
        with LazyDetector(settings.motion, self.engine.settings.device, self.engine.listener) as detector:
            image, reference_pose = read_reference(reference, settings.alignment.ref_pose, detector)
            wanted = _wanted_pose(pose, pose_frame, detector)
        conditioning, decided = bring_together(
            image, reference_pose, wanted, settings.alignment, settings.size, self.defaults, self.engine.listener
        )
        said = ["--pose", name_of(pose), "--pose-frame", str(pose_frame), "--detector", settings.motion.detector]
        arguments = ("transfer", name_of(reference), *said, *as_arguments(decided, settings.size))
        return self._result(arguments, resolved, conditioning, {"reference": reference, "pose": pose})

    def extend(
        self,
        clip: Path | str | Video,
        driving: Motion,
        reference: Picture,
        *,
        clip_pose: Path | str | PoseSequence | None = None,
        settings: Settings = Settings(),
        **changes: object,
    ) -> Result:
        """Continue a clip with more motion; the result is the whole, longer clip.

        The person goes on from where the clip ends: the new motion is scaled and moved there as a whole.

        Args:
            clip: The video to continue; its sides are multiples of 16.
            driving: More motion.
            reference: Picture of the character, as for `animate`.
            clip_pose: Poses of the clip (the last frames count), where no person is found in it.
            settings, **changes: As for `animate`; size and alignment follow the clip.

        Raises:
            BadInput, ModelMissing, OutOfResources: As `animate`.
        """
        settings = settings.changed(**changes)
        check_no_scene(settings.scene)
        resolved = self.engine.ready(settings)
        existing = open_clip(clip)
        overlap, given = resolved.sampling.overlap, settings.alignment
        tail = _last_frames(existing, overlap)
        with LazyDetector(settings.motion, self.engine.settings.device, self.engine.listener) as detector:
            image, reference_pose = read_reference(reference, given.ref_pose, detector)
            source = read_driving(driving, settings.motion, self.engine.listener, detector)
            tail_pose = _tail_pose(tail, existing, clip_pose, detector)
        joined = continue_motion(tail_pose, source.motion, frames=overlap, fps=float(existing.fps))
        size = SizeSettings(width=existing.width, height=existing.height)
        alignment = AlignSettings(align="pose", face=given.face, head=given.head)
        conditioning, _ = bring_together(
            image, reference_pose, joined, alignment, size, self.defaults, self.engine.listener
        )
        named = {"reference": reference, "ref-pose": given.ref_pose, "clip-pose": clip_pose}
        said = [part for name, value in named.items() if value is not None for part in (f"--{name}", name_of(value))]
        arguments = ("extend", name_of(clip), name_of(driving), *said, "--face", given.face, "--head", given.head)
        return self._result(
            (*arguments, *as_arguments(settings.motion)),
            resolved,
            conditioning,
            {"clip": clip, "driving": driving, **named},
            audio=_joined_sound(existing, source.audio),
            clip=existing,
            context=tail,
        )

    def resolved(self, settings: Settings = Settings()) -> Resolved:
        """How a run with these settings samples, nothing left open.

        Raises:
            BadInput: A setting that cannot be.
        """
        return self.engine.resolved(settings)

    # -- plans --------------------------------------------------------------------------------------------------

    def plan(
        self, reference: Picture | Conditioning, driving: Motion | None = None, *, settings: Settings = Settings()
    ) -> RunPlan:
        """What `animate` would do; nothing is detected, so `fit="motion"` may still change the size.

        Raises:
            BadInput, OutOfResources: As `animate`.
        """
        resolved = self.engine.resolved(settings)
        if driving is None:
            aligned = as_aligned(reference)
            check_nothing_to_align(settings)
            return self.engine.plan(resolved, aligned.width, aligned.height, len(aligned.motion))
        check_scene(settings.scene, driving)
        cast = cast_of(settings.scene)
        if cast:
            self.engine.listener.note(f"{len(cast) + 1} such runs, one for each character.")
        in_place = bool(cast) or settings.scene.background == DRIVER
        framed = frame_size(driving, settings.motion) if in_place else None
        size = self._size(not_aligned(reference), settings, framed)
        return self.engine.plan(resolved, *size, count_frames(driving, settings.motion))

    def plan_transfer(self, reference: Picture, *, settings: Settings = Settings()) -> RunPlan:
        """What `transfer` would do.

        Raises:
            BadInput, OutOfResources: As `transfer`.
        """
        resolved = self.engine.resolved(settings)
        return self.engine.plan(resolved, *self._size(reference, settings), 1)

    def _size(self, reference: Picture, settings: Settings, framed: tuple[int, int] | None = None) -> tuple[int, int]:
        height, width = framed[::-1] if framed else as_picture(reference).shape[:2]
        size = output_size(settings.size, width, height, self.defaults.short_side)
        if warning := unusual_size(*size, self.defaults.short_side):
            self.engine.listener.note(warning)
        return size

    def plan_extension(self, clip: Path | str | Video, driving: Motion, *, settings: Settings = Settings()) -> RunPlan:
        """What `extend` would do.

        Raises:
            BadInput, OutOfResources: As `extend`.
        """
        resolved = self.engine.resolved(settings)
        existing = open_clip(clip)
        at_clip_rate = replace(settings.motion, fps=float(existing.fps))
        frames = resolved.sampling.overlap + count_frames(driving, at_clip_rate)
        return self.engine.plan(resolved, existing.width, existing.height, frames, has_context=True)

    def _result(
        self,
        arguments: tuple[str, ...],
        resolved: Resolved,
        conditioning: Conditioning,
        sources: Mapping[str, object],
        *,
        audio: tuple[Audio, ...] = (),
        clip: Video | None = None,
        context: tuple[NDArray[np.uint8], ...] | None = None,
    ) -> Result:
        size = (conditioning.width, conditioning.height)
        plan = self.engine.plan(resolved, *size, len(conditioning.motion), has_context=clip is not None)
        return Result(self.engine, arguments, resolved, conditioning, plan, audio, clip, context, sources)


def as_aligned(source: object) -> Conditioning:
    """An aligned input, from its folder if it is not one already.

    Raises:
        BadInput: It is neither.
    """
    if isinstance(source, Conditioning):
        return source
    if isinstance(source, (str, Path)):
        return Conditioning.load(Path(source))
    raise BadInput(f"{name_of(source)} is no aligned input.", "Give a motion too, or a folder of `onetoall align`.")


def check_nothing_to_align(settings: Settings) -> None:
    """Refuse settings that would have no effect on an aligned input.

    Raises:
        BadInput: One is given: of the motion's part, of the alignment or of the size.
    """
    for group in (settings.motion, settings.alignment, settings.size):
        for each in fields(group):
            if getattr(group, each.name) != each.default and each.name not in _OF_ALL_RUNS:
                option = each.name.replace("_", "-")
                raise BadInput(f"--{option} has no effect on an aligned input.", "Give it to `onetoall align`.")


def not_aligned(reference: Picture | Conditioning) -> Picture:
    """A picture that comes with a motion.

    Raises:
        BadInput: It is an aligned input, which has a motion of its own.
    """
    if isinstance(reference, Conditioning):
        raise BadInput("An aligned input takes the place of reference and motion.", "Give one or the other.")
    return reference


def _wanted_pose(pose: Motion | Picture, frame: int, detector: LazyDetector) -> PoseSequence:
    """One person's pose, from poses or a picture."""
    if isinstance(pose, Video) or not holds_poses(pose):  # type: ignore[arg-type]
        return read_reference(pose, None, detector)[1]  # type: ignore[arg-type]
    sequence = pose if isinstance(pose, PoseSequence) else PoseSequence.load(Path(pose))  # type: ignore[arg-type]
    if frame >= len(sequence):
        raise BadInput(f"{name_of(pose)} has {len(sequence)} frames, none numbered {frame}.", "Lower --pose-frame.")
    return select_person(sequence, "auto").frame(frame)


def open_clip(clip: Path | str | Video) -> Video:
    """The clip to extend.

    Raises:
        BadInput: It cannot be read, or its sides are no multiples of 16.
    """
    video = clip if isinstance(clip, Video) else open_video(clip)
    if video.width % SIZE_MULTIPLE or video.height % SIZE_MULTIPLE:
        raise BadInput(
            f"{video.path} is {video.width} x {video.height}, and both sides must be multiples of {SIZE_MULTIPLE}.",
            "Scale or crop it first.",
        )
    return video


def _last_frames(clip: Video, count: int) -> tuple[NDArray[np.uint8], ...]:
    """The clip's last frames, as many as are carried on, uint8 (H, W, 3) each."""
    frames = deque((frame.image for frame in clip), maxlen=count)
    if len(frames) < count:
        raise BadInput(
            f"{clip.path} has {len(frames)} frame(s); {count} are needed to continue from.",
            "Animate the reference instead, or give a smaller --overlap.",
        )
    return tuple(frames)


def _tail_pose(
    tail: Sequence[NDArray[np.uint8]], clip: Video, given: Path | str | PoseSequence | None, detector: LazyDetector
) -> PoseSequence:
    """One person's poses at the end of the clip."""
    if given is not None:
        poses = given if isinstance(given, PoseSequence) else PoseSequence.load(Path(given))
        last = select_person(poses, "auto")[-len(tail) :]
        return on_canvas(last, clip.width, clip.height, name_of(given))
    person = select_person(detector.people_in_video(video_of_frames(np.stack(tail), clip.fps)), "auto")
    if not person.present()[-1, 0]:
        raise BadInput(
            f"No person was found at the end of {clip.path}.", "Give the poses of the clip with --clip-pose FILE."
        )
    return person


def _joined_sound(clip: Video, added: Audio | None) -> tuple[Audio, ...]:
    """The clip's own sound, and from where it ends that of the new motion."""
    sounds = (clip.audio,) if clip.audio else ()
    return (*sounds, replace(added, at=clip.duration)) if added else sounds
