"""Sound: on the pictures' clock to within milliseconds, copied where the container allows it, else encoded anew."""

from dataclasses import replace
from fractions import Fraction

import av
import numpy as np
import pytest
from made_media import HEIGHT, WIDTH, beep, heard, make_sound, make_video, onset, picture

from onetoall_cli.errors import BadInput
from onetoall_cli.media import Audio, VideoWriter, open_video

BEEP = 0.8  # seconds from the first frame
SECONDS = 2.0


def driving(path, *, late=0.0, rate=44100, channels=1, fps=25, **options):
    """A driving video of `SECONDS` that beeps `BEEP` after its first frame, which is `late` seconds into the file."""
    frames = round(SECONDS * fps)
    times = [late + index / fps for index in range(frames)]
    sound = beep(BEEP + late, SECONDS + late, rate=rate, channels=channels)
    return make_video(path, [n % 200 for n in range(frames)], fps=fps, times=times, sound=sound, **options)


def carry(source, target, *, start=0.0, duration=None):
    """Write what `source` shows and sounds, as a run of the program does."""
    video = open_video(source, start=start, duration=duration)
    with VideoWriter(target, video.width, video.height, fps=video.fps, audio=video.audio) as writer:
        for frame in video:
            writer.write(frame.image, frame.time)
    return target


def packets(path):
    with av.open(str(path)) as container:
        return [bytes(packet) for packet in container.demux(audio=0) if packet.size]


def sound_length(path):
    """Seconds, as the file says where it does, else as decoded."""
    with av.open(str(path)) as container:
        stream = container.streams.audio[0]
        if stream.duration:
            return float(stream.duration * stream.time_base)
    rate, samples, _ = heard(path)
    return len(samples) / rate


def codec(path):
    with av.open(str(path)) as container:
        return container.streams.audio[0].codec_context.name


TARGETS = [".mp4", ".mov", ".mkv", ".webm"]


@pytest.mark.parametrize("target", TARGETS)
@pytest.mark.parametrize("source", ["v.mp4", "v.mkv", "v.webm"])
def test_sound_stays_on_the_pictures_clock(tmp_path, source, target):
    codecs = {"codec": "libvpx-vp9"} if source == "v.webm" else {}
    rate = 48000 if source == "v.webm" else 44100
    path = driving(tmp_path / source, rate=rate, **codecs)
    assert onset(path) == pytest.approx(BEEP, abs=0.004)
    out = carry(path, tmp_path / f"out{target}")
    assert onset(out) == pytest.approx(BEEP, abs=0.004)
    assert open_video(out).duration == pytest.approx(SECONDS)
    assert abs(sound_length(out) - SECONDS) < 1 / 25


@pytest.mark.parametrize("target", TARGETS)
@pytest.mark.parametrize("start", [0.24, 0.52, 0.76])
def test_the_sound_of_a_part_is_cut_where_the_pictures_are(tmp_path, start, target):
    path = driving(tmp_path / "v.mp4")
    out = carry(path, tmp_path / f"out{target}", start=start, duration=0.6)
    assert onset(out) == pytest.approx(BEEP - start, abs=0.004)
    assert abs(sound_length(out) - 0.6) < 1 / 25
    with av.open(str(out)) as container:
        assert container.duration / av.time_base == pytest.approx(0.6, abs=1 / 25)


def test_cut_sound_is_exact_to_the_sample_within_the_codecs_own_blur(tmp_path):
    """The samples of a cut part line up with the source's best at a shift of 0."""
    noise = np.random.default_rng(0).standard_normal((1, 88200)).astype(np.float32) / 8
    path = make_video(tmp_path / "v.mov", range(50), sound=(44100, noise))
    _, before, _ = heard(path)
    _, after, _ = heard(carry(path, tmp_path / "out.mov", start=0.4, duration=0.8))
    piece = after[4096:20480]
    shifts = range(-40, 41)
    begin = round(0.4 * 44100) + 4096
    likeness = [float(np.dot(piece, before[begin + shift : begin + shift + len(piece)])) for shift in shifts]
    assert shifts[int(np.argmax(likeness))] == 0


def test_a_part_between_frames_moves_pictures_and_sound_together(tmp_path):
    path = driving(tmp_path / "v.mp4")
    video = open_video(path, start=0.51)  # on screen then: frame 12, from 0.48
    assert video.start == video.audio.start == Fraction(12, 25)
    out = carry(path, tmp_path / "out.mp4", start=0.51)
    assert onset(out) == pytest.approx(BEEP - 0.48, abs=0.004)


@pytest.mark.parametrize("target", [".mp4", ".mkv"])
@pytest.mark.parametrize("late", [0.32, 5.0])
def test_pictures_that_begin_after_the_sound_keep_their_sound(tmp_path, late, target):
    out = carry(driving(tmp_path / "v.mkv", late=late), tmp_path / f"out{target}")
    assert onset(out) == pytest.approx(BEEP, abs=0.004)


@pytest.mark.parametrize("target", [".mp4", ".mkv", ".webm"])
def test_sound_that_begins_after_the_pictures_begins_as_late(tmp_path, target):
    rate, samples = beep(0.3, 1.0)
    path = make_video(tmp_path / "v.mp4", range(50), sound=(rate, samples, 0.5))
    assert onset(path) == pytest.approx(0.8, abs=0.004)
    assert onset(carry(path, tmp_path / f"out{target}")) == pytest.approx(0.8, abs=0.004)
    assert onset(carry(path, tmp_path / f"part{target}", start=0.2)) == pytest.approx(0.6, abs=0.004)


@pytest.mark.parametrize(
    ("source", "target"), [("v.mp4", ".mp4"), ("v.mp4", ".mov"), ("v.mkv", ".mp4"), ("v.mkv", ".mkv")]
)
def test_whole_sound_is_copied_where_the_container_takes_it(tmp_path, source, target):
    path = driving(tmp_path / source)
    before, after = packets(path), packets(carry(path, tmp_path / f"out{target}"))
    assert after == before[: len(after)] and len(after) >= len(before) - 2


def test_opus_is_copied_into_webm_and_becomes_aac_in_mp4(tmp_path):
    path = driving(tmp_path / "v.webm", codec="libvpx-vp9", rate=48000)
    before, after = packets(path), packets(carry(path, tmp_path / "out.webm"))
    assert after == before[: len(after)] and len(after) >= len(before) - 2
    assert codec(carry(path, tmp_path / "out.mp4")) == "aac"


def test_a_part_is_not_copied_since_packets_cannot_be_cut(tmp_path):
    path = driving(tmp_path / "v.mp4")
    assert not set(packets(path)) >= set(packets(carry(path, tmp_path / "out.mp4", start=0.5)))


@pytest.mark.parametrize(("rate", "channels"), [(8000, 1), (22050, 2), (48000, 2), (96000, 2)])
@pytest.mark.parametrize("target", [".mp4", ".webm"])
def test_any_rate_and_number_of_channels_is_carried(tmp_path, rate, channels, target):
    path = driving(tmp_path / "v.mov", rate=rate, channels=channels)
    out = carry(path, tmp_path / f"out{target}", start=0.2, duration=1.2)
    assert onset(out) == pytest.approx(BEEP - 0.2, abs=0.004)
    with av.open(str(out)) as container:
        assert container.streams.audio[0].channels == channels
        assert container.duration / av.time_base == pytest.approx(1.2, abs=1 / 25)


def test_sound_shorter_than_the_pictures_stays_as_short(tmp_path):
    path = make_video(tmp_path / "v.mp4", range(50), sound=beep(0.2, 0.7))
    out = carry(path, tmp_path / "out.mp4")
    assert sound_length(out) == pytest.approx(0.7, abs=1 / 25) and open_video(out).duration == 2


def test_fewer_pictures_than_planned_end_the_sound_with_them(tmp_path):
    audio = open_video(driving(tmp_path / "v.mp4")).audio
    for name, start in (("copied.mp4", 0), ("encoded.mp4", Fraction(1, 25))):
        audio = Audio(audio.path, start, audio.duration, audio.origin)
        with VideoWriter(tmp_path / name, WIDTH, HEIGHT, fps=25, audio=audio) as writer:
            for number in range(30):
                writer.write(picture(number))
        assert sound_length(tmp_path / name) == pytest.approx(30 / 25, abs=1 / 25)


def test_a_sound_file_of_its_own_can_be_put_under_the_pictures(tmp_path):
    song = make_sound(tmp_path / "song.m4a", beep(0.5, 3.0))
    for start in (0.0, 0.3):
        with VideoWriter(tmp_path / "v.mp4", WIDTH, HEIGHT, fps=25, audio=Audio(song, start)) as writer:
            for number in range(25):
                writer.write(picture(number))
        assert onset(tmp_path / "v.mp4") == pytest.approx(0.5 - start, abs=0.004)
        assert sound_length(tmp_path / "v.mp4") == pytest.approx(1.0, abs=1 / 25)


def test_sound_named_by_path_and_second_follows_the_pictures_clock(tmp_path):
    path = driving(tmp_path / "v.mkv", late=0.32)
    with VideoWriter(tmp_path / "out.mp4", WIDTH, HEIGHT, fps=25, audio=Audio(path, start=0.4, duration=1)) as writer:
        for number in range(25):
            writer.write(picture(number))
    assert onset(tmp_path / "out.mp4") == pytest.approx(BEEP - 0.4, abs=0.004)


@pytest.mark.parametrize("at", [None, 1.0, 1.2])
def test_several_sounds_are_heard_one_after_another(tmp_path, at):
    """What `extend` needs: the sound of the clip, then that of the new motion, at another rate, on one clock."""
    first = make_sound(tmp_path / "first.m4a", beep(0.3, 0.9, rate=22050))  # shorter than its turn
    second = make_video(tmp_path / "second.mp4", range(50), sound=beep(0.7, 2.0, rate=48000, channels=2))
    pieces = [Audio(first, 0.2, duration=1.0), Audio(second, 0.52, duration=0.6, at=at)]
    with VideoWriter(tmp_path / "v.mp4", WIDTH, HEIGHT, fps=25, audio=pieces) as writer:
        for number in range(50):
            writer.write(picture(number))
    turn = at or 1.0
    rate, samples, _ = heard(tmp_path / "v.mp4")
    seconds = np.arange(len(samples)) / rate
    loud = np.abs(samples) > 0.1
    assert onset(tmp_path / "v.mp4") == pytest.approx(0.1, abs=0.004)
    assert seconds[loud & (seconds > 0.5)].min() == pytest.approx(turn + 0.18, abs=0.004)
    assert sound_length(tmp_path / "v.mp4") == pytest.approx(turn + 0.6, abs=1 / 25)


def test_a_sound_ends_when_the_next_begins(tmp_path):
    first = make_sound(tmp_path / "first.m4a", beep(0.5, 2.0, length=1.5))
    pieces = [Audio(first), Audio(make_sound(tmp_path / "second.m4a", beep(0.3, 1.0)), at=0.8)]
    with VideoWriter(tmp_path / "v.mp4", WIDTH, HEIGHT, fps=25, audio=pieces) as writer:
        for number in range(50):
            writer.write(picture(number))
    rate, samples, _ = heard(tmp_path / "v.mp4")
    loud = [np.abs(samples[int(at * rate) :][: rate // 50]).max() > 0.1 for at in (0.4, 0.6, 0.75, 0.85, 1.0, 1.15)]
    assert loud == [False, True, True, False, False, True]


@pytest.mark.parametrize("target", [".mp4", ".webm"])
def test_a_sound_may_begin_later(tmp_path, target):
    """`extend` of a clip without sound by motion with sound."""
    audio = replace(open_video(driving(tmp_path / "v.mp4")).audio, at=0.4)
    with VideoWriter(tmp_path / f"out{target}", WIDTH, HEIGHT, fps=25, audio=[audio]) as writer:
        for number in range(60):
            writer.write(picture(number))
    assert onset(tmp_path / f"out{target}") == pytest.approx(BEEP + 0.4, abs=0.004)


def test_no_sounds_are_no_sound(tmp_path):
    with VideoWriter(tmp_path / "v.mp4", WIDTH, HEIGHT, fps=25, audio=[]) as writer:
        writer.write(picture(0))
    assert not open_video(tmp_path / "v.mp4").has_audio


def test_a_gap_in_the_sound_is_silence_and_not_a_shift(tmp_path):
    rate, samples = beep(0.6, 1.0)
    whole = make_video(tmp_path / "whole.mkv", range(25), sound=(rate, samples))
    with av.open(str(whole)) as source, av.open(str(tmp_path / "gap.mkv"), "w") as target:
        streams = {stream.index: target.add_stream_from_template(stream) for stream in source.streams}
        for packet in source.demux():
            is_lost = packet.stream.type == "audio" and packet.size and 0.1 < packet.pts * packet.time_base < 0.4
            if packet.size and not is_lost:
                packet.stream = streams[packet.stream.index]
                target.mux(packet)
    out = carry(tmp_path / "gap.mkv", tmp_path / "out.mp4", start=0.04)
    assert onset(out) == pytest.approx(0.56, abs=0.004)


def test_a_video_without_sound_has_none(tmp_path):
    video = open_video(make_video(tmp_path / "v.mp4", range(5)))
    assert video.audio is None and not video.has_audio
    with av.open(str(carry(tmp_path / "v.mp4", tmp_path / "out.mp4"))) as container:
        assert not container.streams.audio


def test_sound_asked_of_a_file_that_has_none_is_refused_and_leaves_nothing(tmp_path):
    path = make_video(tmp_path / "v.mp4", range(5))
    with (
        pytest.raises(BadInput, match=r"v\.mp4 has no sound"),
        VideoWriter(tmp_path / "out.mp4", WIDTH, HEIGHT, fps=25, audio=Audio(path)),
    ):
        raise AssertionError("entered")
    assert [entry.name for entry in tmp_path.iterdir()] == ["v.mp4"]


def test_long_sound_is_read_as_the_pictures_advance(tmp_path):
    """Half a second behind the pictures at most a packet more is written: memory does not grow with the song."""
    song = make_sound(tmp_path / "song.m4a", beep(0.5, 30.0))
    with VideoWriter(tmp_path / "v.mp4", WIDTH, HEIGHT, fps=25, audio=Audio(song)) as writer:
        for number in range(25):
            writer.write(picture(number))
        time, _ = next(writer._file._soundtrack._packets)
        assert time < 1.0
