"""Animated pictures out and in: GIF, WebP and APNG keep frames, times and settings, and take no memory for length."""

import io
import logging
import struct
from fractions import Fraction

import av
import numpy as np
import psutil
import pytest
from made_media import HEIGHT, WIDTH, beep, make_video, number_of, picture
from PIL import Image

from onetoall_cli.errors import BadInput, OutOfResources
from onetoall_cli.media import VideoWriter, open_video, read_picture, write_picture
from onetoall_cli.media.animated import ApngFile
from onetoall_cli.media.containers import WRITTEN, AnimationFormat

SUFFIXES = [suffix for suffix, row in WRITTEN.items() if isinstance(row.video, AnimationFormat)]


def write(path, images, *, fps=25, times=None, last=None, **options):
    images = [picture(image) if isinstance(image, int) else image for image in images]
    with VideoWriter(path, images[0].shape[1], images[0].shape[0], fps=fps, **options) as video:
        for index, image in enumerate(images):
            is_last = index == len(images) - 1
            video.write(image, times[index] if times else None, last if is_last else None)
    return path


def noise(count, width=WIDTH, height=HEIGHT):
    random = np.random.default_rng(0)
    return [random.integers(0, 256, (height, width, 3), np.uint8) for _ in range(count)]


def played(path):
    frames = list(open_video(path))
    return [number_of(frame.image) for frame in frames], [frame.time for frame in frames]


# Times

RATES = [12.5, 16, Fraction(24000, 1001), 24, 25, Fraction(30000, 1001), 30, 50, Fraction(60000, 1001), 60]


@pytest.mark.parametrize("fps", RATES)
@pytest.mark.parametrize("suffix", [".webp", ".apng"])
def test_the_rate_written_is_the_rate_read(tmp_path, suffix, fps):
    video = open_video(write(tmp_path / f"v{suffix}", range(80), fps=fps))
    assert (video.fps, video.variable_rate, video.frames_estimate) == (fps, False, 80)
    assert video.duration == pytest.approx(80 / float(fps))


def test_the_times_in_an_apng_are_fractions_that_every_program_reads(tmp_path):
    path = write(tmp_path / "v.apng", range(4), fps=Fraction(30000, 1001), last=2)
    data = path.read_bytes()
    delays = [struct.unpack(">HH", data[at + 24 : at + 28]) for at in range(len(data)) if data[at : at + 4] == b"fcTL"]
    assert delays == [(1001, 30000)] * 3 + [(2, 1)]
    with av.open(str(path)) as container:
        assert [float(frame.time) for frame in container.decode(video=0)] == pytest.approx(
            [index * 1001 / 30000 for index in range(4)], abs=1e-4
        )


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_a_lone_frame_lasts_as_long_as_asked(tmp_path, suffix):
    path = write(tmp_path / f"v{suffix}", [5], last=0.8)
    assert played(path) == ([5], [0]) and open_video(path).duration == pytest.approx(0.8)


@pytest.mark.parametrize("suffix", [".webp", ".apng"])
def test_a_frame_may_be_held_for_minutes(tmp_path, suffix):
    path = write(tmp_path / f"v{suffix}", range(3), times=[0, 1 / 3, 700.123])
    assert played(path) == ([0, 1, 2], pytest.approx([0, 1 / 3, 700.123], abs=1e-3))


def test_a_frame_held_longer_than_a_gif_can_say_is_refused(tmp_path):
    with pytest.raises(BadInput, match=r"shown for 700 s, but this kind of file has at most 655\.35 s"):
        write(tmp_path / "v.gif", range(2), times=[0, 700])
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_frames_too_short_for_any_player_are_dropped(tmp_path, suffix):
    numbers, times = played(write(tmp_path / f"v{suffix}", range(30), fps=100))
    assert numbers == list(range(0, 30, 2)) and times == pytest.approx([index / 50 for index in range(15)])


@pytest.mark.parametrize(("codec", "fps"), [("apng", 30), ("apng", Fraction(30000, 1001)), ("apng", 60)])
def test_apngs_of_other_programs_have_the_rate_they_say(tmp_path, codec, fps):
    path = make_video(tmp_path / "a.apng", range(30), codec=codec, pix_fmt="rgb24", fps=fps)
    assert (open_video(path).fps, open_video(path).variable_rate) == (fps, False)


def test_an_apng_of_whole_milliseconds_has_the_rate_they_were_rounded_from(tmp_path):
    pictures = [Image.fromarray(picture(number)) for number in range(30)]
    durations = [33, 33, 34] * 10
    pictures[0].save(tmp_path / "a.png", save_all=True, append_images=pictures[1:], duration=durations)
    assert (open_video(tmp_path / "a.png").fps, open_video(tmp_path / "a.png").duration) == (30, 1)


# Frames


def test_an_apng_gives_back_every_frame_exactly(tmp_path):
    still, moved = picture(3), np.roll(picture(3), 7, axis=(0, 1))
    images = [*noise(3), still, still, moved, still, np.zeros_like(still), *noise(2)]
    found = [frame.image for frame in open_video(write(tmp_path / "v.apng", images))]
    assert len(found) == len(images) and all(map(np.array_equal, found, images))
    with av.open(str(tmp_path / "v.apng")) as container:
        decoded = [frame.to_ndarray(format="rgb24") for frame in container.decode(video=0)]
    assert len(decoded) == len(images) and all(map(np.array_equal, decoded, images))


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_frames_alike_stay_frames_of_their_own(tmp_path, suffix):
    numbers, times = played(write(tmp_path / f"v{suffix}", [4, 4, 4, 9, 9], fps=20))
    assert numbers == [4, 4, 4, 9, 9] and times == pytest.approx([0, 0.05, 0.1, 0.15, 0.2])


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_odd_sizes_stay(tmp_path, suffix):
    path = write(tmp_path / f"v{suffix}", [picture(number, 97, 65) for number in (11, 12)])
    assert [frame.image.shape for frame in open_video(path)] == [(65, 97, 3)] * 2
    assert played(path)[0] == [11, 12]


def test_crf_trades_size_for_quality_in_a_webp(tmp_path):
    ramp = np.linspace(0, 200, WIDTH)[None, :, None] + np.linspace(0, 40, HEIGHT)[:, None, None] + noise(1)[0] / 20
    image = ramp.astype(np.uint8)
    sizes, errors = [], []
    for crf in (0, 18, 28, 40):
        path = write(tmp_path / "v.webp", [image, image], crf=crf)
        sizes.append(path.stat().st_size)
        errors.append(np.abs(next(iter(open_video(path))).image.astype(int) - image).mean())
    assert sizes == sorted(sizes, reverse=True) and errors == sorted(errors)
    assert sizes[0] > 3 * sizes[-1] and errors[1] < 4


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_animations_repeat_for_ever(tmp_path, suffix):
    with Image.open(write(tmp_path / f"v{suffix}", range(4), metadata={"seed": 1})) as image:
        assert (image.n_frames, image.info["loop"]) == (4, 0)


@pytest.mark.parametrize("settings", [None, {"seed": 1}, {"seed": 11}])
def test_a_webp_is_well_formed(tmp_path, settings):
    data = write(tmp_path / "v.webp", range(3), metadata=settings).read_bytes()
    assert data[:4] + data[8:12] == b"RIFFWEBP" and struct.unpack("<I", data[4:8]) == (len(data) - 8,)
    names, position = [], 12
    while position < len(data):
        names.append(data[position : position + 4])
        (size,) = struct.unpack("<I", data[position + 4 : position + 8])
        position += 8 + size + size % 2
    assert position == len(data)
    assert names == [b"VP8X", b"ANIM", b"ANMF", b"ANMF", b"ANMF", *([b"EXIF"] if settings else [])]


def test_a_webp_written_as_a_picture_is_a_still(tmp_path):
    write_picture(tmp_path / "a.webp", picture(7))
    with Image.open(tmp_path / "a.webp") as image:
        assert image.n_frames == 1 and not image.is_animated
    assert number_of(read_picture(tmp_path / "a.webp")) == 7


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_sound_is_left_out_with_a_warning(tmp_path, caplog, suffix):
    source = open_video(make_video(tmp_path / "in.mp4", range(5), sound=beep(0, 0.2)))
    with caplog.at_level(logging.WARNING):
        write(tmp_path / f"v{suffix}", range(5), audio=source.audio)
    assert f"v{suffix} has no sound: an animated picture cannot carry any" in caplog.text


# The disk and memory


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_frames_go_to_the_disk_and_not_into_memory(tmp_path, suffix):
    images, process = [np.repeat(image[..., :1], 3, -1) for image in noise(4, 256, 192)], psutil.Process()
    with VideoWriter(tmp_path / f"v{suffix}", 256, 192, fps=25, crf=0) as video:
        for index in range(100):
            if index == 20:
                before = process.memory_info().rss
            video.write(images[index % 4])
        grown = process.memory_info().rss - before
        (unfinished,) = tmp_path.rglob(f"*{suffix}")
        size = unfinished.stat().st_size
    assert size > 0.9 * (tmp_path / f"v{suffix}").stat().st_size
    assert grown < size / 4


@pytest.mark.parametrize("suffix", SUFFIXES)
@pytest.mark.parametrize("frames", [2, 60])
def test_a_full_disk_is_said_and_nothing_left(tmp_path, suffix, frames):
    resource = pytest.importorskip("resource")
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (8_000, hard))  # a file that cannot grow, as on a full disk
    try:
        with pytest.raises(OutOfResources, match="disk is full"):
            write(tmp_path / f"v{suffix}", noise(frames), crf=0)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert not list(tmp_path.iterdir())


def test_a_webp_too_large_for_its_format_is_refused(tmp_path, monkeypatch):
    monkeypatch.setattr(WRITTEN[".webp"].video.file, "_LARGEST", 20_000)
    with pytest.raises(BadInput, match="cannot be larger than 4 GiB"):
        write(tmp_path / "v.webp", noise(20))
    assert not list(tmp_path.iterdir())


def test_a_delay_that_no_fraction_of_16_bits_is_becomes_the_nearest_one():
    file = io.BytesIO()
    apng = ApngFile(file, (1, 1), None)
    before = len(file.getvalue())
    apng.add(bytes(38), Fraction(45_000_001, 90_000))
    numerator, denominator = struct.unpack(">HH", file.getvalue()[before + 28 : before + 32])
    assert numerator / denominator == pytest.approx(45_000_001 / 90_000, abs=1e-4)


def test_an_animation_of_huge_frames_is_refused_before_they_are_decoded(tmp_path, monkeypatch):
    monkeypatch.setattr("onetoall_cli.media.stills.MAX_ANIMATED_PIXELS", 64)
    frames = [Image.new("RGB", (10, 10), colour) for colour in ("red", "blue")]
    frames[0].save(tmp_path / "a.gif", save_all=True, append_images=frames[1:])
    frames[0].save(tmp_path / "still.gif")
    with pytest.raises(BadInput, match="too many pixels for an animation: 10 x 10"):
        open_video(tmp_path / "a.gif")
    assert open_video(tmp_path / "still.gif").width == 10
