"""`VideoWriter` and `FrameFolderWriter`: what is written plays at its times, whole or not at all."""

import errno
import hashlib
import os
import platform
import subprocess
import sys
import threading
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest
from made_media import HEIGHT, WIDTH, beep, make_video, number_of, picture
from PIL import Image

from onetoall_cli.errors import BadInput, OutOfResources
from onetoall_cli.media import FrameFolderWriter, VideoWriter, movie_writer, open_video, read_picture, video_format
from onetoall_cli.media.animated import GifFile
from onetoall_cli.media.containers import WRITTEN

SUFFIXES = [suffix for suffix, row in WRITTEN.items() if row.video]


def write(path, numbers, *, fps=25, times=None, durations=None, **options):
    with VideoWriter(path, WIDTH, HEIGHT, fps=fps, **options) as video:
        for index, number in enumerate(numbers):
            time = None if times is None else times[index]
            video.write(picture(number), time, None if durations is None else durations[index])
    return path


def played(path):
    frames = list(open_video(path))
    return [number_of(frame.image) for frame in frames], [frame.time for frame in frames]


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_frames_come_back_in_order_at_the_constant_rate(tmp_path, suffix):
    path = write(tmp_path / f"v{suffix}", range(20), fps=20)
    assert played(path) == (list(range(20)), pytest.approx([index / 20 for index in range(20)]))
    video = open_video(path)
    assert (video.fps, video.duration, video.variable_rate) == (20, pytest.approx(1), False)


@pytest.mark.parametrize("fps", [16, Fraction(24000, 1001), Fraction(30000, 1001), 29.97, 23.976, 12.5, 60])
def test_the_rate_written_is_the_rate_asked_for(tmp_path, fps):
    path = write(tmp_path / "v.mp4", range(30), fps=fps)
    video = open_video(path)
    assert float(video.fps) == pytest.approx(float(fps), rel=1e-9) and not video.variable_rate
    assert video.duration == pytest.approx(30 / float(fps), rel=1e-9)


TIMES = [0, 0.033, 0.07, 0.5, 0.54, 1.2, 1.25, 1.3]


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_times_given_are_kept_and_the_last_frame_lasts_as_long_as_asked(tmp_path, suffix):
    path = write(tmp_path / f"v{suffix}", range(8), times=TIMES, durations=[None] * 7 + [0.7])
    accuracy = {".mp4": 1e-5, ".mov": 1e-5, ".apng": 1e-5, ".gif": 6e-3}.get(suffix, 1e-3)
    assert played(path) == (list(range(8)), pytest.approx(TIMES, abs=accuracy))
    assert open_video(path).duration == pytest.approx(2.0, abs=2 * accuracy)


def test_the_output_of_a_driving_video_lasts_as_long_as_it(tmp_path):
    source = open_video(make_video(tmp_path / "in.mp4", range(8), times=TIMES, tick=Fraction(1, 1000)))
    with VideoWriter(tmp_path / "out.mp4", WIDTH, HEIGHT, fps=source.fps) as video:
        for frame in source:
            video.write(frame.image, frame.time)
    assert open_video(tmp_path / "out.mp4").duration == pytest.approx(source.duration, abs=float(1 / source.fps))


def test_frames_without_a_time_follow_the_ones_with(tmp_path):
    path = write(tmp_path / "v.mp4", range(4), fps=10, times=[0, None, 0.5, None], durations=[0.3, None, None, None])
    assert played(path)[1] == pytest.approx([0, 0.3, 0.5, 0.6])


@pytest.mark.parametrize("suffix", [".mp4", ".mkv", ".webm"])
def test_odd_sizes_gain_a_column_and_a_row(tmp_path, suffix):
    image = picture(11, 97, 65)
    with VideoWriter(tmp_path / f"v{suffix}", 97, 65, fps=25) as video:
        video.write(image)
    (frame,) = open_video(tmp_path / f"v{suffix}")
    assert frame.image.shape == (66, 98, 3)
    assert number_of(frame.image) == 11
    assert np.abs(frame.image[:65, -1].astype(int) - image[:, -1]).mean() < 10


@pytest.mark.parametrize(("suffix", "codec"), [(".mp4", "h264"), (".mov", "h264"), (".mkv", "h264"), (".webm", "vp9")])
def test_the_suffix_chooses_codec_and_pixel_format(tmp_path, suffix, codec):
    with av.open(str(write(tmp_path / f"v{suffix}", range(3)))) as container:
        context = container.streams.video[0].codec_context
        assert (context.codec.canonical_name, context.pix_fmt) == (codec, "yuv420p")


@pytest.mark.parametrize("suffix", [".mp4", ".mov"])
def test_the_index_comes_first_so_that_it_plays_while_it_downloads(tmp_path, suffix):
    data = write(tmp_path / f"v{suffix}", range(5)).read_bytes()
    assert data.index(b"moov") < data.index(b"mdat")


def test_crf_trades_size_for_quality(tmp_path):
    noise = np.random.default_rng(0).integers(0, 256, (HEIGHT, WIDTH, 3), np.uint8)
    sizes, errors = [], []
    for crf in (10, 40):
        with VideoWriter(tmp_path / "v.mp4", WIDTH, HEIGHT, fps=25, crf=crf) as video:
            video.write(noise)
        sizes.append((tmp_path / "v.mp4").stat().st_size)
        errors.append(np.abs(next(iter(open_video(tmp_path / "v.mp4"))).image.astype(int) - noise).mean())
    assert sizes[0] > 3 * sizes[1] and errors[0] < errors[1]


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_the_same_frames_give_the_same_bytes(tmp_path, suffix):
    source = open_video(make_video(tmp_path / "in.mp4", range(30), sound=beep(0.3, 1.2)), start=0.1)
    digests = set()
    for name in ("a", "b"):
        path = tmp_path / f"{name}{suffix}"
        with VideoWriter(path, WIDTH, HEIGHT, fps=25, audio=source.audio, metadata={"title": "t", "seed": 1}) as video:
            for frame in source:
                video.write(frame.image, frame.time)
        digests.add(hashlib.sha256(path.read_bytes()).hexdigest())
    assert len(digests) == 1


# Writes a video of a still picture with a moving square, 12 macroblocks wide, and prints what its file hashes to.
MOVING_SQUARE = """
import hashlib, pathlib, sys
import numpy as np
from onetoall_cli.media import VideoWriter
picture = np.random.default_rng(0).integers(0, 256, (46, 24, 3), np.uint8).repeat(8, axis=0).repeat(8, axis=1)
with VideoWriter(sys.argv[1], 192, 368, fps=24) as video:
    for left in range(0, 64, 8):
        frame = picture.copy()
        frame[184:216, left : left + 32] = 255
        video.write(frame)
print(hashlib.sha256(pathlib.Path(sys.argv[1]).read_bytes()).hexdigest())
"""


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="only glibc fills fresh memory on demand")
@pytest.mark.parametrize("suffix", [".mp4", ".webm", ".gif", ".webp", ".apng"])
def test_the_bytes_do_not_depend_on_what_the_memory_held_before(tmp_path, suffix):
    """An encoder that reads what nobody wrote finds 0xFE in one process and 0x7F in the other."""
    digests = set()
    for fill in (0x01, 0x80):  # glibc writes the complement
        environment = os.environ | {"GLIBC_TUNABLES": f"glibc.malloc.perturb={fill}"}
        command = [sys.executable, "-c", MOVING_SQUARE, str(tmp_path / f"{fill}{suffix}")]
        digests.add(subprocess.run(command, env=environment, check=True, capture_output=True).stdout)
    assert len(digests) == 1


# Whole or not at all


@pytest.mark.parametrize("failure", [RuntimeError, KeyboardInterrupt, SystemExit])
@pytest.mark.parametrize("frames", [0, 1, 60])
@pytest.mark.parametrize("suffix", SUFFIXES)
def test_a_failure_leaves_nothing_and_an_older_file_as_it_was(tmp_path, suffix, frames, failure):
    path = tmp_path / f"v{suffix}"
    path.write_bytes(b"older")
    source = open_video(make_video(tmp_path / "in.mp4", range(10), sound=beep(0.1, 0.4)))
    with pytest.raises(failure), VideoWriter(path, WIDTH, HEIGHT, fps=25, audio=source.audio) as video:
        for number in range(frames):
            video.write(picture(number))
        raise failure
    assert path.read_bytes() == b"older"
    assert sorted(entry.name for entry in tmp_path.iterdir()) == ["in.mp4", path.name]


def test_a_failure_while_finishing_leaves_nothing(tmp_path, monkeypatch):
    def interrupted(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr(GifFile, "finish", interrupted)
    with pytest.raises(KeyboardInterrupt):
        write(tmp_path / "v.gif", range(3), metadata={"seed": 1})
    assert not list(tmp_path.iterdir())


def test_a_file_is_replaced_only_when_the_new_one_is_whole(tmp_path):
    path = write(tmp_path / "v.mp4", range(5))
    older = path.read_bytes()
    with VideoWriter(path, WIDTH, HEIGHT, fps=25) as video:
        video.write(picture(1))
        assert path.read_bytes() == older
    assert played(path)[0] == [1]


def test_no_frame_at_all_is_an_error_of_the_program_and_leaves_nothing(tmp_path):
    with pytest.raises(ValueError, match="no frame was written"), VideoWriter(tmp_path / "v.mp4", 64, 64, fps=25):
        pass
    assert not list(tmp_path.iterdir())


class FullDisk:
    """A file object standing for a disk with `room` bytes left."""

    def __init__(self, path, room):
        self._file, self._room = path.open("wb+"), room

    def write(self, data):
        self._room -= len(data)
        if self._room < 0:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        return self._file.write(data)

    def __getattr__(self, name):
        return getattr(self._file, name)


@pytest.mark.parametrize("suffix", [".mp4", ".mkv", ".webm"])
def test_a_full_disk_is_said_and_nothing_left(tmp_path, monkeypatch, suffix):
    formats = {".mkv": "matroska"}
    original = av.open

    def open_on_a_full_disk(path, mode="r", **options):
        if mode == "r":
            return original(path, mode, **options)
        return original(FullDisk(Path(path), 20_000), mode, format=formats.get(suffix, suffix[1:]), **options)

    monkeypatch.setattr(movie_writer.av, "open", open_on_a_full_disk)
    noise = np.random.default_rng(0)
    path = tmp_path / f"v{suffix}"
    with pytest.raises(OutOfResources, match="disk is full"), VideoWriter(path, WIDTH, HEIGHT, fps=25, crf=1) as video:
        for _ in range(200):
            video.write(noise.integers(0, 256, (HEIGHT, WIDTH, 3), np.uint8))
    assert not list(tmp_path.iterdir())


# What cannot be written


@pytest.mark.parametrize("name", ["v.avi", "v", "v.txt", "v.png"])
def test_a_suffix_that_cannot_be_written_is_refused_before_any_work(tmp_path, name):
    with pytest.raises(BadInput, match=r"Use \.mp4, \.mov, \.mkv, \.webm, \.gif, \.apng, \.webp\."):
        VideoWriter(tmp_path / name, 64, 64, fps=25)
    with pytest.raises(BadInput):
        video_format(tmp_path / name)


def test_capital_suffixes_are_suffixes(tmp_path):
    assert played(write(tmp_path / "V.MP4", range(3)))[0] == [0, 1, 2]


@pytest.mark.parametrize(
    ("arguments", "problem"),
    [
        ({"width": 0}, "0x64 pixels"),
        ({"fps": 0}, "not positive"),
        ({"crf": 52}, "--crf 52 is out of range"),
        ({"crf": -1}, "--crf -1 is out of range"),
    ],
)
def test_values_that_cannot_be_are_refused(tmp_path, arguments, problem):
    with pytest.raises(BadInput, match=problem):
        VideoWriter(tmp_path / "v.mp4", **{"width": 64, "height": 64, "fps": 25, **arguments})


def test_a_folder_that_is_missing_is_refused(tmp_path):
    with pytest.raises(BadInput, match=r"Cannot write in .*missing"):
        write(tmp_path / "missing" / "v.mp4", range(3))


@pytest.mark.skipif(os.name != "posix" or os.geteuid() == 0, reason="root may write everywhere")
def test_a_folder_that_may_not_be_written_is_refused(tmp_path):
    tmp_path.chmod(0o500)
    with pytest.raises(BadInput, match="Cannot write in"):
        write(tmp_path / "v.mp4", range(3))


@pytest.mark.parametrize(
    "image",
    [
        np.zeros((HEIGHT, WIDTH + 1, 3), np.uint8),
        np.zeros((HEIGHT, WIDTH), np.uint8),
        np.zeros((HEIGHT, WIDTH, 3), np.float32),
    ],
)
def test_a_frame_of_another_shape_or_type_is_refused(tmp_path, image):
    writer_of_96x64 = VideoWriter(tmp_path / "v.mp4", WIDTH, HEIGHT, fps=25)
    with pytest.raises(ValueError, match=r"takes uint8 \(64, 96, 3\)"), writer_of_96x64 as video:
        video.write(image)


@pytest.mark.parametrize("times", [[0.1, 0.1], [0.2, 0.1]])
def test_times_that_do_not_ascend_are_refused(tmp_path, times):
    with pytest.raises(ValueError, match="does not follow the one before it"):
        write(tmp_path / "v.mp4", range(2), times=times)


def test_a_time_before_the_beginning_is_refused(tmp_path):
    with pytest.raises(ValueError, match="before the beginning"):
        write(tmp_path / "v.mp4", [0], times=[-0.5])


def test_writing_says_nothing_on_stderr(tmp_path, capfd):
    for suffix in SUFFIXES:
        write(tmp_path / f"v{suffix}", range(3))
    assert capfd.readouterr().err == ""


# Folders of frames


def test_a_folder_of_frames_reads_back_exactly(tmp_path):
    with FrameFolderWriter(tmp_path / "frames") as folder:
        for number in range(12):
            folder.write(picture(number))
        assert not (tmp_path / "frames").exists()
    video = open_video(tmp_path / "frames", fps=12)
    assert all(np.array_equal(frame.image, picture(index)) for index, frame in enumerate(video))
    assert (video.frames_estimate, video.duration) == (12, 1)


@pytest.mark.parametrize("failure", [RuntimeError, KeyboardInterrupt])
def test_a_folder_of_frames_is_whole_or_not_at_all(tmp_path, failure):
    older = tmp_path / "frames"
    with FrameFolderWriter(older) as folder:
        folder.write(picture(9))
    with pytest.raises(failure), FrameFolderWriter(older) as folder:
        folder.write(picture(0))
        raise failure
    assert [entry.name for entry in tmp_path.rglob("[!.]*")] == ["frames", "000000.png"]
    assert np.array_equal(read_picture(older / "000000.png"), picture(9))


def test_a_new_folder_of_frames_takes_the_place_of_the_old(tmp_path):
    for count in (5, 2):
        with FrameFolderWriter(tmp_path / "frames") as folder:
            for number in range(count):
                folder.write(picture(number))
    assert len(list((tmp_path / "frames").glob("*.png"))) == 2 and len(list(tmp_path.iterdir())) == 1


@pytest.mark.parametrize("name", ["pipe", "pipe.mov", "pipe.mkv", "pipe.webm", "pipe.gif"])
def test_a_pipe_gets_the_bytes_that_a_file_gets(tmp_path, name):
    def write(path):
        with VideoWriter(path, 32, 32, fps=12, metadata={"seed": 1}) as video:
            for number in range(3):
                video.write(np.full((32, 32, 3), 80 * number, np.uint8))

    file = tmp_path / f"file{os.path.splitext(name)[1] or '.mp4'}"
    write(file)
    os.mkfifo(tmp_path / name)
    got = []
    reader = threading.Thread(target=lambda: got.append((tmp_path / name).read_bytes()))
    reader.start()
    write(tmp_path / name)
    reader.join()
    assert got == [file.read_bytes()]


def test_a_full_disk_while_writing_frames_is_said(tmp_path, monkeypatch):
    def full(self, *_, **__):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(Image.Image, "save", full)
    with pytest.raises(OutOfResources, match="disk is full"), FrameFolderWriter(tmp_path / "frames") as folder:
        folder.write(picture(0))
    assert not list(tmp_path.iterdir())


class TestTransparency:
    @pytest.mark.parametrize(
        ("name", "codec", "pixels"), [("a.mov", "prores", "yuva444"), ("a.webm", "libvpx-vp9", "yuva420p")]
    )
    def test_a_matte_is_read_back(self, tmp_path, name, codec, pixels):
        image = np.zeros((48, 64, 4), np.uint8)
        image[..., 0] = 200
        image[8:24, 16:48, 3], image[24:40, 16:48, 3] = 255, 128
        with VideoWriter(tmp_path / name, 64, 48, fps=25, alpha=True, metadata={"seed": 7}) as writer:
            writer.write(image)
        with av.open(str(tmp_path / name)) as container:
            decoder = av.CodecContext.create(codec, "r")  # ffmpeg's own VP9 decoder leaves the matte out
            stream = container.streams.video[0]
            if stream.codec_context.extradata:
                decoder.extradata = stream.codec_context.extradata
            decoder.width, decoder.height = 64, 48
            frames = [frame for packet in container.demux(stream) for frame in decoder.decode(packet)]
        shown = frames[0].reformat(format="rgba").to_ndarray()
        assert frames[0].format.name.startswith(pixels)
        for row, alpha in ((16, 255), (32, 128), (2, 0)):
            assert abs(int(shown[row, 32, 3]) - alpha) <= 2
        assert abs(int(shown[2, 2, 0]) - 200) <= 4, "colours are not multiplied with the matte"

    def test_what_cannot_hold_it_is_refused_before_any_work(self, tmp_path):
        with pytest.raises(BadInput, match="cannot hold transparency"):
            VideoWriter(tmp_path / "a.mp4", 64, 48, fps=25, alpha=True)
