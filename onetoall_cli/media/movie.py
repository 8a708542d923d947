"""Video files in, by PyAV: a clock, a way to show the frames, and a decoder that begins exactly where it is told."""

import logging
from collections.abc import Iterator
from fractions import Fraction
from functools import partial
from pathlib import Path

import av
from av.stream import Disposition

from onetoall_cli.errors import BadInput, ran_out
from onetoall_cli.media.audio import Audio, sound_stream
from onetoall_cli.media.colour import to_rgb
from onetoall_cli.media.containers import open_container
from onetoall_cli.media.deinterlace import deinterlaced
from onetoall_cli.media.file_errors import reading
from onetoall_cli.media.geometry import Display, display_of
from onetoall_cli.media.timeline import Part, Timeline, read_timeline
from onetoall_cli.media.video import Frame, Video, part_of_video

_log = logging.getLogger(__name__)


def open_movie(path: Path, start: float, duration: float | None) -> Video:
    """Open a part of a video file; see `open_video`."""
    with reading(path, "video"):
        with open_container(path) as container:
            stream = picture_stream(container, path)
            aspect, has_sound = stream.sample_aspect_ratio, sound_stream(container) is not None
            claimed, timeline = stream.frames, read_timeline(container, stream)
        if not len(timeline):
            raise BadInput(f"{path} has no frames.", "Check that it plays, or export it again.")
        display = _display(path, timeline, aspect)
    if claimed > len(timeline) + timeline.hidden:
        _log.warning("%s breaks off: only %d of its %d frames are there.", path, len(timeline), claimed)
    frames = partial(_frames, path, timeline, display)
    sound = partial(_sound, path, timeline) if has_sound else None
    return part_of_video(path, display.size, timeline, start, duration, frames, sound)


def _sound(path: Path, timeline: Timeline, part: Part) -> Audio:
    origin = int(timeline.pts[0]) * timeline.tick if timeline.stamped else None
    return Audio(path, part.origin, part.duration, origin)


def picture_stream(container: av.container.InputContainer, path: Path) -> av.VideoStream:
    """The stream to show: the first that is not the cover picture of a song.

    Raises:
        BadInput: There is none, or nothing here can decode it.
    """
    if not container.streams:
        raise BadInput(f"{path} has no frames.", "Check that it plays, or export it again.")
    moving = [s for s in container.streams.video if not s.disposition & Disposition.attached_pic]
    if not moving:
        raise BadInput(f"{path} has no pictures, only sound or text.", "Pass a video.")
    if moving[0].codec_context is None:
        raise BadInput(f"{path} is in a video format that cannot be decoded.", "Convert it to H.264.")
    moving[0].thread_type = "AUTO"
    return moving[0]


def _display(path: Path, timeline: Timeline, aspect: Fraction | None) -> Display:
    """How to show the frames: known from the first one decoded, which also proves that there is one."""
    for _, frame in _decoded(path, timeline, 0):
        return display_of(frame, aspect)
    raise BadInput(f"Not one frame of {path} can be decoded.", "The file is damaged: copy or download it again.")


def _frames(path: Path, timeline: Timeline, display: Display, part: Part) -> Iterator[Frame]:
    count, expected = 0, part.stop - part.first
    with reading(path, "video"):
        # from one frame earlier on, as an interlaced frame is completed from both its neighbours
        for index, frame in deinterlaced(_decoded(path, timeline, max(0, part.first - 1))):
            if index < part.first:
                continue
            if index >= part.stop:
                break
            count += 1
            yield Frame(display.upright(to_rgb(frame, *display.stored)), timeline.seconds_into(part, index))
    if not count:
        problem = f"Not one frame of this part of {path} can be decoded."
        raise BadInput(problem, "The file is damaged: copy or download it again, or take another part.")
    if count < expected:
        _log.warning("%s is damaged: only %d of %d frames could be decoded.", path, count, expected)


def _decoded(path: Path, timeline: Timeline, first: int) -> Iterator[tuple[int, av.VideoFrame]]:
    """Frames from number `first` on, each with its number, exactly as decoding the whole file gives them."""
    target = int(timeline.pts[first])
    seek_points = [timeline.seek_point(first), None]
    for seek in seek_points[seek_points[0] is None :]:
        with open_container(path) as container:
            stream = picture_stream(container, path)
            if seek is not None:
                container.seek(seek, stream=stream)
            frames = _numbered(container, stream, timeline)
            head = next(frames, None)
            if seek is not None and (head is None or timeline.pts[head[0]] > target):
                continue  # the index led past the frame: decode everything instead
            if head is not None and head[0] >= first:
                yield head
            yield from (pair for pair in frames if pair[0] >= first)
            return


def _numbered(
    container: av.container.InputContainer, stream: av.VideoStream, timeline: Timeline
) -> Iterator[tuple[int, av.VideoFrame]]:
    """Decoded frames with ascending numbers; what is damaged is left out."""
    number = -1
    for frame in _whole_frames(container, stream):
        known = timeline.index_of(frame.pts) if timeline.stamped else None
        index = number + 1 if known is None else known
        if number < index < len(timeline):
            number = index
            yield index, frame


def _whole_frames(container: av.container.InputContainer, stream: av.VideoStream) -> Iterator[av.VideoFrame]:
    packets = container.demux(stream)
    while True:
        try:
            packet = next(packets)
        except (StopIteration, av.FFmpegError):  # a torn end is an end: the timeline says what is missing
            return
        if packet.size and packet.is_corrupt:
            continue
        try:
            yield from packet.decode()
        except EOFError:
            return
        except av.FFmpegError as error:
            if (shortage := ran_out(error.errno)) is not None:  # the decoder starts no threads
                raise shortage from error
            _log.debug("a packet of %s cannot be decoded: %s", stream, error)
