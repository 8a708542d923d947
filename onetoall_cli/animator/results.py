"""What came of a run: frames that are made as they are asked for, and that save themselves whole or not at all."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack, suppress
from dataclasses import dataclass, field, replace
from fractions import Fraction
from itertools import chain
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
from numpy.typing import NDArray

from onetoall_cli.alignment import Conditioning
from onetoall_cli.animator.engine import Engine
from onetoall_cli.animator.kept_segments import EnoughSegments, KeptSegments, segments_kept
from onetoall_cli.animator.plans import RunPlan
from onetoall_cli.animator.preview_file import preview_beside
from onetoall_cli.animator.records import RunRecord, make_record, make_run_record
from onetoall_cli.animator.resolving import Resolved
from onetoall_cli.animator.settings import VideoSettings, as_arguments
from onetoall_cli.animator.staging import Stage
from onetoall_cli.errors import BadInput
from onetoall_cli.files import together
from onetoall_cli.files.streams import ending_of, is_output_stream
from onetoall_cli.media import (
    Audio,
    FrameFolderWriter,
    Video,
    VideoWriter,
    side_by_side,
    write_picture,
)
from onetoall_cli.media.containers import PICTURE_ENDINGS, PICTURE_STREAMED_AS
from onetoall_cli.pose import PoseSequence
from onetoall_cli.sampling.previews import Preview
from onetoall_cli.scene.compositing import Layer, Shot, composed


@dataclass(frozen=True, eq=False)
class Result:
    """A run that is ready to be made: iterating generates its frames one by one, in constant memory.

    Every iteration generates anew, and gives the same frames; `save` is one iteration.

    Attributes:
        engine: The model that makes it.
        arguments: The command and its inputs, as the record says them.
        resolved: How it is sampled.
        conditioning: The aligned input.
        plan: What it takes.
        audio: Sounds that `save` puts into a video.
        clip: The clip that is continued, whose frames come first; None: there is none.
        context: Its last frames, uint8 (H, W, 3) each.
        sources: The inputs as they were given, by what they are.
        stage: What its character is put in front of; None: nothing can be.
        others: The runs of the characters beside it, on the same stage.
    """

    engine: Engine
    arguments: tuple[str, ...]
    resolved: Resolved
    conditioning: Conditioning
    plan: RunPlan
    audio: tuple[Audio, ...] = ()
    clip: Video | None = None
    context: tuple[NDArray[np.uint8], ...] | None = None
    sources: Mapping[str, object] = field(default_factory=dict)
    stage: Stage | None = None
    others: tuple[Result, ...] = ()

    def __iter__(self) -> Iterator[NDArray[np.uint8]]:
        """The frames, uint8 (H, W, 3)."""
        return (frame for frame, _ in self.timed())

    def timed(self) -> Iterator[tuple[NDArray[np.uint8], float]]:
        """The frames, uint8 (H, W, 3), with the second at which each is shown."""
        return ((shot.picture, time) for shot, time in self._all_shots(mattes=False))

    def shots(self) -> Iterator[tuple[Shot, float]]:
        """The frames with the character's matte and colours, each with the second at which it is shown.

        Raises:
            BadInput: It continues a clip, of which no matte is known.
        """
        return self._all_shots(mattes=True)

    def _all_shots(
        self, *, mattes: bool, preview: Callable[[Preview], None] | None = None
    ) -> Iterator[tuple[Shot, float]]:
        with ExitStack() as stack:
            performed = self._ensemble(stack, None, preview) if self.others else [self._made(preview=preview)]
            yield from self._shots(performed, mattes=mattes)

    @property
    def size(self) -> tuple[int, int]:
        """(width, height) of the frames, pixels."""
        return (self.stage.width, self.stage.height) if self.stage else (self.plan.width, self.plan.height)

    def _shots(
        self,
        performed: Sequence[Iterable[NDArray[np.uint8]]],
        *,
        mattes: bool,
    ) -> Iterator[tuple[Shot, float]]:
        stage = self.stage
        if mattes and stage is None:
            raise BadInput("A clip that is continued has no matte.", "Write it without --mask-out.")
        if stage is None or (stage.is_plain and not mattes):
            yield from ((Shot(frame), time) for frame, time in self._clocked(performed[0]))
            return
        clock = list(map(float, self.conditioning.motion.clock()))
        background = stage.background
        behind = None if background is None else background.frames(stage.width, stage.height, clock)
        layers = [
            Layer(frames, run.conditioning.motion, place)
            for frames, run, place in zip(performed, (self, *self.others), stage.places, strict=True)
        ]
        yield from zip(composed(layers, stage.width, stage.height, behind, relight=stage.relight), clock, strict=True)

    def _made(
        self, kept: KeptSegments | None = None, preview: Callable[[Preview], None] | None = None
    ) -> Iterator[NDArray[np.uint8]]:
        return self.engine.generate(self.conditioning, self.resolved, self.plan, self.context, kept, preview)

    def _kept(self, stack: ExitStack, path: Path, *, restart: bool, enough: int | None) -> KeptSegments:
        """Its segments beside `path`, until `stack` ends."""
        note, record = self.engine.listener.note, self._run_record()
        return stack.enter_context(segments_kept(path, record, restart=restart, note=note, enough=enough))

    def _ensemble(
        self,
        stack: ExitStack,
        path: Path | None,
        preview: Callable[[Preview], None] | None = None,
        *,
        restart: bool = False,
        enough: int | None = None,
    ) -> list[Iterator[NDArray[np.uint8]]]:
        """All characters' frames, made one character after the other and kept beside `path`, until `stack` ends."""
        beside = path or Path(stack.enter_context(TemporaryDirectory())) / "frames.mkv"
        performed = []
        for number, run in enumerate((self, *self.others), start=1):
            named = beside if number == 1 else beside.with_stem(f"{beside.stem}-{number}")
            kept = run._kept(stack, named, restart=restart, enough=enough)
            deque(run._made(kept, preview if number == 1 else None), maxlen=0)
            performed.append(kept.frames())
        return performed

    def _clocked(self, made: Iterable[NDArray[np.uint8]]) -> Iterator[tuple[NDArray[np.uint8], float]]:
        if self.clip is None:
            yield from zip(made, map(float, self.conditioning.motion.clock()), strict=True)
            return
        yield from ((frame.image, frame.time) for frame in self.clip)
        end, rate = self.clip.duration, self.conditioning.motion.fps
        yield from ((frame, end + index / rate) for index, frame in enumerate(made))

    @property
    def seed(self) -> int:
        """Of the noise."""
        return self.resolved.sampling.seed

    def with_seed(self, seed: int) -> Result:
        """The same run with other noise; nothing is read or detected again."""
        generation = replace(self.resolved.generation, seed=seed)
        sampling = replace(self.resolved.sampling, seed=seed)
        others = tuple(run.with_seed(seed) for run in self.others)
        return replace(self, resolved=replace(self.resolved, generation=generation, sampling=sampling), others=others)

    def renamed(self, names: Mapping[Path, Path]) -> Result:
        """The same run, whose record names its inputs otherwise: those files are about to be copied there."""
        said = {str(old): str(new) for old, new in names.items()}
        return replace(self, arguments=tuple(said.get(word, word) for word in self.arguments))

    @property
    def duration(self) -> float:
        """Seconds."""
        if self.clip is None:
            return self.conditioning.motion.duration
        assert self.context is not None
        return self.clip.duration + (self.plan.frames - len(self.context)) / self.conditioning.motion.fps

    @property
    def record(self) -> dict[str, Any]:
        """How it is made, as every output carries it; see `records`."""
        memory, model = self.plan.memory, self.engine.settings
        # what of the memory plan changes the result; where weights wait does not
        decided: dict[str, Any] = {
            "model": self.plan.model,
            "attention": self.engine.attention_of(memory),
            "quantize": memory.quantisation,
            "tiling": memory.tiling,
        }
        model = replace(model, **decided)
        arguments = [*self.arguments, *as_arguments(self.resolved.generation, model)]
        width, height = self.size
        result = {**self.plan.fields(), "width": width, "height": height, "fps": self.conditioning.motion.fps}
        return make_record(arguments, model=self.engine.location, result=result)

    def save(
        self,
        path: Path | str,
        *,
        video: VideoSettings = VideoSettings(),
        frames: Path | None = None,
        compare: Path | None = None,
        mask: Path | None = None,
        restart: bool = False,
        preview: bool = False,
        stop_after_segment: int | None = None,
    ) -> int:
        """Generate, and write a video (with the motion's clock and sound) or, of one frame, a picture.

        A run of several segments keeps them in `PATH.unfinished/` until the output is there. Whatever ends it, the same
        run goes on at the segment it was in, and gives the same frames as one that was not interrupted.

        Args:
            path: Output file; its ending says what it becomes. It appears when all is done.
            video: Quality and sound.
            frames: A folder that also gets the frames as PNGs.
            compare: A video of reference, pose and result side by side.
            mask: A grey video, or of one frame a picture, of the character's matte.
            restart: Whether to give up what another run to `path`, with other settings or inputs, has kept there.
            stop_after_segment: End with so many segments kept, to look at them (`PATH.unfinished/1.mkv` ...).
            preview: Whether `NAME.preview.webp` beside the output shows meanwhile what is being denoised.

        Returns:
            How many frames were written; 0: none, as the run ended after `stop_after_segment`.

        Raises:
            BadInput: An ending that cannot be written, or a place that cannot be; another run is kept there.
            OutOfResources: Memory or disk do not suffice.
        """
        path = Path(path)
        mattes = self._cut_out or mask is not None
        with suppress(EnoughSegments), ExitStack() as stack:
            look = stack.enter_context(preview_beside(path, self.conditioning.motion.fps)) if preview else None
            if self.plan.frames == 1 and ending_of(path, PICTURE_STREAMED_AS) in PICTURE_ENDINGS:
                ((shot, _),) = self._all_shots(mattes=mattes, preview=look)
                with together():
                    write_picture(path, self._shown(shot), metadata=self.record)
                    if mask:
                        write_picture(mask, grey(shot), metadata=self.record)
                return 1
            beside = None if is_output_stream(path) else path
            performed: Sequence[Iterable[NDArray[np.uint8]]]
            if self.others:
                performed = self._ensemble(stack, beside, look, restart=restart, enough=stop_after_segment)
            elif beside and len(self.plan.segments) > 1:
                performed = [self._made(self._kept(stack, beside, restart=restart, enough=stop_after_segment), look)]
            else:
                performed = [self._made(preview=look)]
            return self._save_video(self._shots(performed, mattes=mattes), path, video, frames, compare, mask)
        return 0

    @property
    def _cut_out(self) -> bool:
        return self.stage is not None and self.stage.alpha

    def _shown(self, shot: Shot) -> NDArray[np.uint8]:
        """A frame of the output: (H, W, 3), or (H, W, 4) of the characters alone."""
        return shot.cut_out() if self._cut_out else shot.picture

    def _run_record(self) -> RunRecord:
        given, context = self.conditioning, self.context or ()
        style = (given.face, given.head, given.canvas_short_side, self.plan.memory.dtype, self.engine.device.type)
        fed = [given.reference, given.mask, given.reference_pose, given.motion.keypoints, *context, style]
        loras = {f"LoRA {index}": lora.path for index, lora in enumerate(self.engine.loras, start=1)}
        return make_run_record(self.record, {**self.sources, **loras}, self.engine.location, fed)

    def _save_video(
        self,
        made: Iterator[tuple[Shot, float]],
        path: Path,
        video: VideoSettings,
        frames: Path | None,
        compare: Path | None,
        mask: Path | None,
    ) -> int:
        record = self.record
        record["arguments"] += as_arguments(video)
        motion, (width, height) = self.conditioning.motion, self.size
        sounds: Sequence[Audio] = self.audio if video.audio else ()
        common: dict[str, Any] = {"crf": video.crf, "audio": list(sounds), "metadata": record}
        common["fps"] = frame_rate(motion.fps)
        count = 0
        with ExitStack() as stack:
            stack.enter_context(together())
            main = stack.enter_context(VideoWriter(path, width, height, alpha=self._cut_out, **common))
            folder = stack.enter_context(FrameFolderWriter(frames, metadata=record)) if frames else None
            high = self.plan.height
            across = 2 * self.plan.width + round(width * high / height)
            beside = stack.enter_context(VideoWriter(compare, across, high, **common)) if compare else None
            masks = stack.enter_context(VideoWriter(mask, width, height, **{**common, "audio": []})) if mask else None
            for shot, time in made:
                frame = self._shown(shot)
                main.write(frame, time=time)
                if folder:
                    folder.write(frame)
                if masks:
                    masks.write(grey(shot), time=time)
                if beside:
                    (pose,) = self.conditioning.pose_frames(count, count + 1)
                    shown = [self.conditioning.reference, pose, shot.picture]
                    beside.write(side_by_side(shown, high), time=time)
                count += 1
        return count


def grey(shot: Shot) -> NDArray[np.uint8]:
    """A shot's matte as a picture, uint8 (H, W, 3)."""
    assert shot.matte is not None
    return np.repeat(shot.matte[..., None], 3, axis=-1)


def write_clip(
    path: Path, frames: Iterable[NDArray[np.uint8]], motion: PoseSequence, metadata: dict[str, Any] | None = None
) -> None:
    """Write frames of one size, uint8 (H, W, 3), each shown when the motion's frame of its number is."""
    waiting = iter(frames)
    first = next(waiting)
    height, width = first.shape[:2]
    with VideoWriter(path, width, height, fps=frame_rate(motion.fps), metadata=metadata) as video:
        for frame, time in zip(chain([first], waiting), motion.clock(), strict=True):
            video.write(frame, time=float(time))


def frame_rate(fps: float) -> Fraction:
    """The rate as the fraction a container stores: 29.97 is 30000/1001."""
    return Fraction(fps).limit_denominator(1001)
