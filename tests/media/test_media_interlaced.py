"""Interlaced video: frames of two moments become whole ones, as many and at the same times as before."""

from fractions import Fraction

import av
import numpy as np
import pytest
from made_media import make_video, number_of, picture

from onetoall_cli.media import open_video

HEIGHT, WIDTH = 64, 96
X264 = {"flags": "+ildct+ilme", "x264-params": "tff=1:keyint=8"}
KINDS = {
    "top.mp4": {"options": X264},
    "bottom.mkv": {"options": {"flags": "+ildct+ilme", "x264-params": "bff=1"}},
    "dvd.mpg": {"codec": "mpeg2video", "options": {"flags": "+ildct+ilme", "b": "8M"}},
    "ten_bits.mkv": {"options": X264, "pix_fmt": "yuv422p10le"},
}


def moving(count, top_first=True):
    """Frames whose bar is 4 px further in the second field than in the first."""
    images = np.full((count, HEIGHT, WIDTH, 3), 40, np.uint8)
    for number in range(count):
        for field in (0, 1):
            x = 4 * (2 * number + field) % 72
            images[number, (field if top_first else 1 - field) :: 2, x : x + 16] = 230
    return list(images)


def combing(image):
    """The largest step between neighbouring lines; the bar has none."""
    return int(np.abs(np.diff(image[..., 1].astype(int), axis=0)).max())


@pytest.mark.parametrize("name", KINDS)
def test_lines_of_two_moments_become_one_picture(tmp_path, name):
    images = moving(12, top_first=name != "bottom.mkv")
    assert min(map(combing, images)) == 190
    video = open_video(make_video(tmp_path / name, images, **KINDS[name]))
    frames = list(video)
    assert max(combing(frame.image) for frame in frames) < 20
    assert [frame.time for frame in frames] == pytest.approx([number / 25 for number in range(12)])
    assert video.frames_estimate == 12 and video.fps == 25
    for image, frame in zip(images, frames, strict=True):  # the bar is where the first or the second field has it
        bar = frame.image[32, :, 1] > 128
        assert 12 <= bar.sum() <= 20 and (image[:2, bar].max(axis=(0, 2)) == 230).mean() > 0.9


@pytest.mark.parametrize("first", [0, 1, 5, 8, 11])
def test_a_part_is_exactly_what_the_whole_gives(tmp_path, first):
    path = make_video(tmp_path / "top.mp4", moving(12), options=X264)
    whole = [frame.image for frame in open_video(path)]
    part = [frame.image for frame in open_video(path, start=first / 25, duration=3 / 25)]
    assert len(part) == min(3, 12 - first)
    assert np.array_equal(part, whole[first : first + 3])


def test_the_clock_of_a_variable_rate_is_kept(tmp_path):
    times = [0, 0.1, 0.12, 0.5, 0.52, 1.2]
    path = make_video(tmp_path / "a.mkv", moving(6), times=times, tick=Fraction(1, 1000), options=X264)
    assert [frame.time for frame in open_video(path)] == pytest.approx(times)


@pytest.mark.parametrize("full_range", [False, True])
def test_what_stands_still_keeps_its_colours_and_its_number(tmp_path, full_range):
    def tagged(stream):
        stream.codec_context.color_range = 2 if full_range else 1
        stream.codec_context.colorspace = 1

    path = make_video(tmp_path / "a.mp4", [picture(77)] * 4, options=X264, configure=tagged)
    frames = [frame.image for frame in open_video(path)]
    assert [number_of(image) for image in frames] == [77] * 4
    plain = make_video(tmp_path / "b.mp4", [picture(77)] * 4, configure=tagged)
    assert np.abs(frames[1].astype(int) - next(iter(open_video(plain))).image).mean() < 2


@pytest.mark.parametrize("count", [1, 2])
def test_the_shortest_clips_come_through(tmp_path, count):
    assert len(list(open_video(make_video(tmp_path / "a.mp4", moving(count), options=X264)))) == count


def test_video_that_is_not_flagged_is_left_alone(tmp_path):
    """Combed pictures without the flag: an effect, or a drawing of lines."""
    path = make_video(tmp_path / "a.mp4", moving(6), options={"crf": "1"})
    assert min(combing(frame.image) for frame in open_video(path)) > 100


def test_a_clip_that_turns_interlaced_half_way_loses_no_frame(tmp_path):
    """Broadcasts mix both; joined as MPEG program streams."""
    plain = make_video(tmp_path / "a.mpg", [picture(number) for number in range(5)], codec="mpeg2video")
    fields = {"codec": "mpeg2video", "options": {"flags": "+ildct+ilme", "b": "8M"}}
    laced = make_video(tmp_path / "b.mpg", [picture(number) for number in range(5, 10)], **fields)
    (tmp_path / "c.m2v").write_bytes(elementary(plain) + elementary(laced) + elementary(plain))
    numbers = [number_of(frame.image) for frame in open_video(tmp_path / "c.m2v")]
    assert numbers == [0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 0, 1, 2, 3, 4]


def elementary(path):
    """The packets of a video, without a container."""
    with av.open(str(path)) as container:
        return b"".join(bytes(packet) for packet in container.demux(video=0))
