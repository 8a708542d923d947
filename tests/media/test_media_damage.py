"""`open_video`: what can be wrong with a file is said, and what is whole of it is still read."""

import errno
import io
import logging
import os
from types import SimpleNamespace

import av
import numpy as np
import pytest
from made_media import (
    HEIGHT,
    WIDTH,
    assert_refused,
    beep,
    encode_sound,
    make_sound,
    make_video,
    number_of,
    picture,
    yuv,
)
from PIL import Image

from onetoall_cli.errors import BadInput, OutOfResources
from onetoall_cli.media import VideoWriter, open_video, read_metadata
from onetoall_cli.media.file_errors import writing
from onetoall_cli.media.movie import _whole_frames


def make_torn(path, keep, **options):
    """A video of 40 frames of noise of which only the share `keep` of the bytes is there."""
    noise = np.random.default_rng(0)
    images = [np.maximum(picture(n) // 2, noise.integers(0, 90, (64, 96, 3), np.uint8)) for n in range(40)]
    make_video(path, images, options={"g": "5", "bf": "0"}, **options)
    data = path.read_bytes()
    path.write_bytes(data[: int(len(data) * keep)])
    return path


@pytest.mark.parametrize("name", ["v.mp4", "v.mkv", "v.ts"])
def test_a_file_that_breaks_off_gives_what_is_there_and_a_warning(tmp_path, caplog, name):
    path = make_torn(tmp_path / name, 0.6, container_options={"movflags": "+faststart"} if name == "v.mp4" else {})
    video = open_video(path)
    frames = list(video)
    assert 15 < len(frames) < 30 and len(frames) == video.frames_estimate
    assert video.duration == pytest.approx(len(frames) / 25)
    if name == "v.mp4":  # the only one whose index says how many there were
        assert "breaks off: only" in caplog.text and "of its 40 frames" in caplog.text


def test_a_file_that_breaks_off_before_its_index_says_so(tmp_path):
    with pytest.raises(BadInput, match=r"v\.mp4 cannot be read as a video .* copy or download it again"):
        open_video(make_torn(tmp_path / "v.mp4", 0.6))


def test_damage_in_the_middle_costs_only_the_damaged_frames(tmp_path, caplog):
    path = make_torn(tmp_path / "v.mkv", 1.0, codec="mjpeg", pix_fmt="yuvj420p")
    with av.open(str(path)) as container:
        packets = [packet for packet in container.demux(video=0) if packet.size]
    data = bytearray(path.read_bytes())
    position = data.index(bytes(packets[10]))
    data[position : position + packets[10].size] = bytes(packets[10].size)
    path.write_bytes(data)
    with caplog.at_level(logging.WARNING):
        times = [frame.time for frame in open_video(path)]
    assert times == pytest.approx([index / 25 for index in range(40) if index != 10])
    assert "only 39 of 40 frames could be decoded" in caplog.text


def test_a_video_of_which_no_frame_decodes_says_so(tmp_path):
    path = make_video(tmp_path / "v.mkv", range(3), codec="mjpeg", pix_fmt="yuvj420p")
    with av.open(str(path)) as container:
        packets = [packet for packet in container.demux(video=0) if packet.size]
    data = bytearray(path.read_bytes())
    for packet in packets:
        position = data.index(bytes(packet))
        data[position : position + packet.size] = bytes(packet.size)
    path.write_bytes(data)
    with pytest.raises(BadInput, match=r"Not one frame of .* can be decoded"):
        open_video(path)


def no_frames(path):
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=25)
        stream.width, stream.height, stream.pix_fmt = 96, 64, "yuv420p"
        container.start_encoding()


def text(path):
    path.write_text("These are words, not pictures.\n" * 100)


def sound(path):
    make_sound(path, beep(0.1, 0.5))


def song_with_cover(path):
    cover = io.BytesIO()
    Image.fromarray(picture(1)).save(cover, "JPEG")
    with av.open(str(path), "w") as container:
        voice = container.add_stream("mp3", rate=44100)
        voice.codec_context.layout = "mono"
        art = container.add_stream("mjpeg", rate=1)
        art.width, art.height, art.pix_fmt = 96, 64, "yuvj420p"
        art.disposition = av.stream.Disposition.attached_pic
        frame = yuv(picture(1), "yuvj420p")
        frame.pts = 0
        container.mux(art.encode(frame))
        container.mux(art.encode(None))
        encode_sound(container, voice, beep(0.1, 0.5))


@pytest.mark.parametrize(
    ("name", "make", "problem"),
    [
        ("missing.mp4", lambda path: None, "does not exist"),
        ("missing.gif", lambda path: None, "does not exist"),
        ("text.mp4", text, "cannot be read as a video"),
        ("text.txt", text, "it is a text file"),
        ("text.gif", text, "is not a picture"),
        ("empty.mp4", lambda path: path.write_bytes(b""), "cannot be read as a video"),
        ("none.mp4", no_frames, "has no frames"),
        ("none.mkv", no_frames, "cannot be read as a video"),
        ("sound.m4a", sound, "no pictures, only sound"),
        ("folder", lambda path: path.mkdir(), "has no pictures"),
    ],
)
def test_what_is_no_video_is_refused_with_the_reason_and_what_to_do(tmp_path, name, make, problem):
    make(tmp_path / name)
    assert_refused(open_video, tmp_path / name, problem)


def test_the_cover_of_a_song_is_not_a_video(tmp_path):
    song_with_cover(tmp_path / "song.mp3")
    with pytest.raises(BadInput, match="no pictures, only sound"):
        open_video(tmp_path / "song.mp3")


@pytest.mark.skipif(os.name != "posix" or os.geteuid() == 0, reason="root may read everything")
@pytest.mark.parametrize("name", ["v.mp4", "v.gif"])
def test_a_file_that_may_not_be_read_is_refused(tmp_path, name):
    (tmp_path / name).write_bytes(b"secret")
    (tmp_path / name).chmod(0)
    with pytest.raises(BadInput, match="may not be read"):
        open_video(tmp_path / name)


@pytest.mark.parametrize(
    ("arguments", "problem"),
    [
        ({"start": -1}, "negative"),
        ({"start": 0.8}, "is 0.800 s long: there is nothing at 0.8 s"),
        ({"duration": 0}, "not positive"),
        ({"fps": 0}, "not positive"),
    ],
)
def test_a_part_that_cannot_be_is_refused(tmp_path, arguments, problem):
    path = make_video(tmp_path / "v.mp4", range(20))
    with pytest.raises(BadInput, match=problem):
        open_video(path, **arguments)


def test_tags_that_are_not_utf_8_do_no_harm(tmp_path):
    path = tmp_path / "v.mp4"
    with VideoWriter(path, WIDTH, HEIGHT, fps=25, metadata={"title": "Muller"}) as writer:
        writer.write(picture(6))
    path.write_bytes(path.read_bytes().replace(b"Muller", b"M\xfcller"))
    assert [number_of(frame.image) for frame in open_video(path)] == [6]
    assert read_metadata(path) is not None


def test_reading_says_nothing_on_stderr(tmp_path, capfd):
    path = make_torn(tmp_path / "v.mkv", 0.7)
    list(open_video(path))
    assert capfd.readouterr().err == ""


def test_a_decoder_that_may_start_no_threads_is_no_damaged_file():
    def decode():
        raise av.BlockingIOError(errno.EAGAIN, "Resource temporarily unavailable", "avcodec_open2()")

    packet = SimpleNamespace(size=1, is_corrupt=False, decode=decode)
    with pytest.raises(OutOfResources, match="starts no more processes"):
        list(_whole_frames(SimpleNamespace(demux=lambda _: iter([packet])), None))
    with pytest.raises(OutOfResources, match="starts no more processes"), writing("out.mp4"):
        raise OSError(errno.EAGAIN, "Resource temporarily unavailable")
