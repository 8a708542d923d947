"""`open_video`: every kind of file gives the right pictures, the right way up, at the right times."""

import io
import os
import zlib
from fractions import Fraction

import av
import numpy as np
import pytest
from made_media import HEIGHT, WIDTH, make_video, number_of, picture
from PIL import Image

from onetoall_cli.errors import BadInput
from onetoall_cli.media import movie, open_video, stills

FORMATS = {
    "h264.mp4": {},
    "h264.mov": {},
    "h264.mkv": {},
    "h264-10bit.mp4": {"pix_fmt": "yuv420p10le"},
    "h264-444.mp4": {"pix_fmt": "yuv444p"},
    "hevc.mp4": {"codec": "libx265"},
    "hevc-10bit.mov": {"codec": "libx265", "pix_fmt": "yuv420p10le"},
    "vp9.webm": {"codec": "libvpx-vp9"},
    "av1-10bit.mp4": {"codec": "libsvtav1", "pix_fmt": "yuv420p10le"},
    "vp8.webm": {"codec": "libvpx"},
    "mjpeg.mov": {"codec": "mjpeg", "pix_fmt": "yuvj420p"},
    "prores.mov": {"codec": "prores_ks", "pix_fmt": "yuv422p10le"},
    "mpeg4.avi": {"codec": "mpeg4"},
    "h264.ts": {},
}


def numbers_and_times(video):
    pairs = [(number_of(frame.image), frame.time) for frame in video]
    return [number for number, _ in pairs], [time for _, time in pairs]


@pytest.mark.parametrize("name", FORMATS)
def test_every_frame_of_every_format_comes_in_order_at_its_time(tmp_path, name):
    path = make_video(tmp_path / name, range(20), fps=25, **FORMATS[name])
    video = open_video(path)
    numbers, times = numbers_and_times(video)
    assert numbers == list(range(20))
    assert times == pytest.approx([index / 25 for index in range(20)], abs=1e-9)
    assert (video.width, video.height, video.fps, video.frames_estimate) == (WIDTH, HEIGHT, 25, 20)
    assert video.duration == pytest.approx(20 / 25)
    assert not video.variable_rate and not video.has_audio


@pytest.mark.parametrize("name", ["h264.mp4", "hevc.mp4", "vp9.webm", "h264.mkv", "h264.ts", "mpeg4.avi"])
@pytest.mark.parametrize("start", [0.04, 0.4, 0.52, 1.0, 1.56])
def test_a_part_is_bit_for_bit_what_decoding_everything_gives(tmp_path, name, start):
    keyframes = {"g": "10", "keyint_min": "5"}
    path = make_video(tmp_path / name, range(40), fps=25, options=keyframes, **FORMATS[name])
    everything = [frame.image for frame in open_video(path)]
    part = open_video(path, start=start, duration=0.2)
    first = round(start * 25)
    frames = list(part)
    assert part.frames_estimate == len(frames) == min(5, 40 - first)
    assert part.start == Fraction(first, 25)
    for index, frame in enumerate(frames):
        assert frame.time == pytest.approx(index / 25)
        assert np.array_equal(frame.image, everything[first + index])


@pytest.mark.parametrize("fps", [Fraction(24000, 1001), Fraction(30000, 1001), 16, 60])
@pytest.mark.parametrize("name", ["h264.mp4", "h264.mkv", "vp9.webm"])
def test_a_constant_rate_is_known_exactly_whatever_the_containers_ticks(tmp_path, name, fps):
    video = open_video(make_video(tmp_path / name, range(12), fps=fps, **FORMATS[name]))
    assert video.fps == fps and not video.variable_rate
    assert [frame.time for frame in video] == [float(index / Fraction(fps)) for index in range(12)]


VARIABLE = [0, 0.033, 0.066, 0.5, 0.54, 1.2, 1.25, 1.3]


@pytest.mark.parametrize("name", ["h264.mp4", "h264.mkv", "vp9.webm"])
def test_a_variable_rate_keeps_the_true_times(tmp_path, name):
    path = make_video(tmp_path / name, range(8), times=VARIABLE, tick=Fraction(1, 1000), fps=25, **FORMATS[name])
    video = open_video(path)
    numbers, times = numbers_and_times(video)
    assert numbers == list(range(8))
    assert times == pytest.approx(VARIABLE, abs=1e-3)
    assert video.variable_rate
    assert 1.3 < video.duration < 1.4
    assert float(video.fps) == pytest.approx(8 / video.duration, rel=1e-3)


def test_a_part_of_a_variable_rate_begins_with_what_is_on_screen_then(tmp_path):
    path = make_video(tmp_path / "v.mp4", range(8), times=VARIABLE, tick=Fraction(1, 1000), fps=25)
    video = open_video(path, start=0.3, duration=0.95)
    assert numbers_and_times(video) == ([2, 3, 4, 5], pytest.approx([0, 0.2, 0.24, 0.9]))
    assert video.duration == pytest.approx(0.95) and video.start == Fraction(3, 10)


@pytest.mark.parametrize("degrees", [0, 90, 180, 270])
@pytest.mark.parametrize("mirrored", [False, True])
def test_rotation_and_mirroring_of_the_display_matrix_are_undone(tmp_path, degrees, mirrored):
    stored = np.rot90(picture(5), -degrees // 90)  # as a camera held otherwise stores it
    stored = stored[:, ::-1] if mirrored else stored
    cos, sin = {0: (1, 0), 90: (0, 1), 180: (-1, 0), 270: (0, -1)}[degrees]
    # A stored point (p, q) is shown at (a p + c q, b p + d q), q downwards: a turn counter-clockwise by `degrees`.
    a, b, c, d = cos, -sin, sin, cos
    a, b = (-a, -b) if mirrored else (a, b)
    one = 1 << 16
    matrix = [a * one, b * one, 0, c * one, d * one, 0, 0, 0, 1 << 30]
    path = make_video(tmp_path / "v.mp4", [stored] * 3, configure=lambda stream: stream.set_display_matrix(matrix))
    video = open_video(path)
    assert (video.width, video.height) == (WIDTH, HEIGHT)
    assert numbers_and_times(video)[0] == [5, 5, 5]


@pytest.mark.parametrize("degrees", [90, 270])
def test_rotation_agrees_with_ffmpegs_own_meaning_of_it(tmp_path, degrees):
    path = make_video(tmp_path / "v.mp4", [0], configure=lambda stream: stream.set_display_rotation(degrees))
    with av.open(str(path)) as container:
        turned = next(container.decode(video=0)).rotation  # degrees counter-clockwise that make it upright
    frame = next(iter(open_video(path)))
    upright = np.rot90(picture(0), turned // 90)
    assert frame.image.shape == upright.shape == (WIDTH, HEIGHT, 3)
    assert np.abs(frame.image.astype(int) - upright).mean() < 12


@pytest.mark.parametrize(("aspect", "size"), [(Fraction(4, 3), (128, 64)), (Fraction(2, 3), (96, 96))])
@pytest.mark.parametrize("turned", [False, True])
def test_pixels_that_are_not_square_are_made_square(tmp_path, aspect, size, turned):
    def configure(stream):
        stream.codec_context.sample_aspect_ratio = aspect
        if turned:
            stream.set_display_rotation(90)

    video = open_video(make_video(tmp_path / "v.mp4", [3, 4], configure=configure))
    frame = next(iter(video))
    assert (video.width, video.height) == (size[::-1] if turned else size)
    assert frame.image.shape[:2] == (video.height, video.width)


@pytest.mark.parametrize("name", ["v.mkv", "v.mp4", "v.ts"])
def test_a_file_that_does_not_start_at_0_starts_at_0(tmp_path, name):
    times = [5 + index / 25 for index in range(10)]
    path = make_video(tmp_path / name, range(10), times=times, fps=25)
    assert numbers_and_times(open_video(path)) == (list(range(10)), pytest.approx([i / 25 for i in range(10)]))
    assert numbers_and_times(open_video(path, start=0.2, duration=0.08))[0] == [5, 6]


def test_what_an_edit_list_cuts_away_is_neither_shown_nor_counted(tmp_path):
    whole = make_video(tmp_path / "whole.mp4", range(20), fps=25, options={"bf": "0"})
    path = tmp_path / "cut.mp4"
    with av.open(str(whole)) as source, av.open(str(path), "w") as target:
        stream = source.streams.video[0]
        copy = target.add_stream_from_template(stream)
        for packet in source.demux(stream):
            if packet.size:
                packet.pts -= 7 * packet.duration  # the muxer hides what is before 0 with an edit list
                packet.dts -= 7 * packet.duration
                packet.stream = copy
                target.mux(packet)
    video = open_video(path)
    assert numbers_and_times(video)[0] == list(range(7, 20))
    assert video.frames_estimate == 13 and video.duration == pytest.approx(13 / 25)


def test_a_duration_that_the_file_does_not_tell_is_found(tmp_path):
    pipe = io.BytesIO()
    pipe.seekable = lambda: False
    make_video("v.webm", range(15), codec="libvpx-vp9", options={}, file=pipe, container_options={"live": "1"})
    path = tmp_path / "v.webm"
    path.write_bytes(pipe.getvalue())
    with av.open(str(path)) as container:
        assert container.duration is None  # the file really does not tell
    video = open_video(path)
    assert (video.duration, video.frames_estimate) == (15 / 25, 15)


@pytest.mark.parametrize("name", ["v.webm", "v.mp4"])
def test_odd_sizes_stay_as_they_are(tmp_path, name):
    codec = {"codec": "libvpx-vp9"} if name == "v.webm" else {"pix_fmt": "yuv444p"}
    video = open_video(make_video(tmp_path / name, [picture(9, 97, 65)] * 2, **codec))
    assert (video.width, video.height) == (97, 65)
    assert numbers_and_times(video)[0] == [9, 9]


def animation(path, numbers, durations):
    pictures = [Image.fromarray(picture(number)) for number in numbers]
    pictures[0].save(path, save_all=True, append_images=pictures[1:], duration=durations, loop=0)
    return path


@pytest.mark.parametrize("name", ["a.gif", "a.webp", "a.png"])
def test_animated_pictures_are_videos(tmp_path, name):
    path = animation(tmp_path / name, range(6), 40)
    video = open_video(path)
    assert numbers_and_times(video) == (list(range(6)), pytest.approx([index * 0.04 for index in range(6)]))
    assert (video.fps, video.duration, video.variable_rate) == (25, pytest.approx(0.24), False)


@pytest.mark.parametrize("name", ["a.gif", "a.webp"])
def test_animated_pictures_may_have_a_variable_rate(tmp_path, name):
    video = open_video(animation(tmp_path / name, range(3), [100, 500, 50]), start=0.1)
    assert numbers_and_times(video) == ([1, 2], pytest.approx([0, 0.5]))
    assert video.variable_rate and video.duration == pytest.approx(0.55)


def test_a_gif_frame_without_a_duration_is_shown_as_browsers_show_it(tmp_path):
    assert open_video(animation(tmp_path / "a.gif", range(3), 0)).duration == pytest.approx(0.3)


def test_no_frame_of_a_gif_is_decoded_to_know_its_times(tmp_path, monkeypatch):
    path = animation(tmp_path / "a.gif", range(4), [40, 10, 20, 300])
    monkeypatch.setattr(stills, "_duration", None)  # what decodes
    assert open_video(path).duration == pytest.approx(0.04 + 0.1 + 0.02 + 0.3)


def test_a_still_picture_is_a_video_of_one_frame(tmp_path):
    Image.fromarray(picture(7)).save(tmp_path / "a.png")
    video = open_video(tmp_path / "a.png")
    assert numbers_and_times(video) == ([7], [0])
    assert (video.frames_estimate, video.duration) == (1, pytest.approx(1 / 25))


def test_a_folder_of_pictures_is_a_video_in_natural_order(tmp_path):
    for number in range(12):
        Image.fromarray(picture(number)).save(tmp_path / f"frame{number}.png")
    (tmp_path / "notes.txt").write_text("not a picture")
    (tmp_path / "._frame0.png").write_bytes(b"what a Mac leaves behind")
    video = open_video(tmp_path, fps=10, start=0.2)
    assert numbers_and_times(video) == (list(range(2, 12)), pytest.approx([index / 10 for index in range(10)]))
    assert (video.fps, video.duration) == (10, pytest.approx(1))


def test_a_folder_whose_pictures_differ_in_size_is_refused_at_once_and_names_the_odd_one(tmp_path):
    for number, size in enumerate([(96, 64), (96, 64), (40, 40), (96, 64)]):
        Image.fromarray(picture(number, *size)).save(tmp_path / f"{number}.png")
    with pytest.raises(BadInput, match=r"1 of the 4 pictures in .* are not 96x64: 2\.png is 40x40"):
        open_video(tmp_path)


def test_pictures_of_a_folder_that_are_turned_alike_have_one_size(tmp_path):
    """The size is the one seen, whatever the file stores."""
    exif = Image.Exif()
    exif[0x0112] = 6
    Image.fromarray(np.rot90(picture(0))).save(tmp_path / "0.jpg", exif=exif, quality=95)
    Image.fromarray(picture(1)).save(tmp_path / "1.jpg", quality=95)
    video = open_video(tmp_path)
    assert (video.width, video.height) == (96, 64) and [number_of(frame.image) for frame in video] == [0, 1]


def test_a_png_that_is_turned_by_data_behind_its_pixels_is_refused_among_others_that_are_not(tmp_path):
    for number in (0, 1):
        Image.fromarray(picture(number)).save(tmp_path / f"{number}.png")
    exif = Image.Exif()
    exif[0x0112] = 6
    data = exif.tobytes().removeprefix(b"Exif\x00\x00")
    chunk = len(data).to_bytes(4, "big") + b"eXIf" + data + zlib.crc32(b"eXIf" + data).to_bytes(4, "big")
    content = (tmp_path / "1.png").read_bytes()
    (tmp_path / "1.png").write_bytes(content[:-12] + chunk + content[-12:])  # before IEND
    with pytest.raises(BadInput, match=r"1\.png is 64x96, and the others are 96x64"):
        list(open_video(tmp_path))


def test_hidden_files_and_other_kinds_in_a_folder_are_no_frames(tmp_path):
    for name in ("1.png", "2.png"):
        Image.fromarray(picture(int(name[0]))).save(tmp_path / name)
    for name in ("._1.png", "metadata.json", "readme.txt"):
        (tmp_path / name).write_bytes(b"\x00\x05\x16\x07")
    assert [number_of(frame.image) for frame in open_video(tmp_path)] == [1, 2]


def test_transparency_is_laid_on_white(tmp_path):
    path = tmp_path / "a.mov"
    rgba = np.dstack([np.full((64, 96, 3), 40, np.uint8), np.repeat(np.linspace(0, 255, 96)[None], 64, 0)])
    with av.open(str(path), "w") as container:
        stream = container.add_stream("png", rate=25, options={})
        stream.width, stream.height, stream.pix_fmt = 96, 64, "rgba"
        frame = av.VideoFrame.from_ndarray(rgba.astype(np.uint8), format="rgba")
        frame.pts = 0
        container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    image = next(iter(open_video(path))).image
    assert image[0, 0].tolist() == [255] * 3 and image[0, -1].tolist() == [40] * 3
    assert abs(int(image[0, 48, 0]) - 147) <= 2


def test_a_late_part_is_reached_by_the_index_and_not_by_decoding_everything(tmp_path, monkeypatch):
    path = make_video(tmp_path / "v.mp4", range(100), options={"g": "10"})
    decoded = []
    original = movie._whole_frames

    def counting(*arguments):
        for frame in original(*arguments):
            decoded.append(frame.pts)
            yield frame

    video = open_video(path, start=3.8, duration=0.12)
    monkeypatch.setattr(movie, "_whole_frames", counting)
    assert numbers_and_times(video)[0] == [95, 96, 97]
    assert len(decoded) < 25


def test_an_index_that_leads_past_the_frame_costs_time_but_no_frame(tmp_path, monkeypatch):
    path = make_video(tmp_path / "v.mp4", range(40), options={"g": "10"})
    monkeypatch.setattr(movie.Timeline, "seek_point", lambda self, index: int(self.keyframes[-1, 1]))
    assert numbers_and_times(open_video(path, start=0.8, duration=0.12))[0] == [20, 21, 22]


def test_frames_are_decoded_only_as_they_are_asked_for_and_again_as_often(tmp_path, monkeypatch):
    path = make_video(tmp_path / "v.mp4", range(30))
    video = open_video(path)
    converted = []
    original = movie.to_rgb
    monkeypatch.setattr(movie, "to_rgb", lambda *arguments: converted.append(1) or original(*arguments))
    frames = iter(video)
    assert number_of(next(frames).image) == 0 and number_of(next(frames).image) == 1
    assert len(converted) == 2
    frames.close()
    assert numbers_and_times(video)[0] == list(range(30))


@pytest.mark.skipif(not os.path.isdir("/proc/self/fd"), reason="counts open files in /proc")
def test_a_video_read_or_left_half_read_keeps_no_file_open(tmp_path):
    path = make_video(tmp_path / "v.mp4", range(30))

    def opened() -> int:
        """How often this very file is open: what other tests left behind may be closed at any time."""
        places = (f"/proc/self/fd/{number}" for number in os.listdir("/proc/self/fd"))
        return sum(os.path.exists(place) and os.path.samefile(place, path) for place in places)

    video = open_video(path)
    assert opened() == 0
    frames = iter(video)
    next(frames)
    assert opened() == 1
    frames.close()
    assert opened() == 0
    list(video)
    assert opened() == 0
