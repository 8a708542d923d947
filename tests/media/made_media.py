"""Small media files made for tests, whose pictures say which they are and which way up; how bad ones are refused."""

from fractions import Fraction

import av
import numpy as np
import pytest

from onetoall_cli.errors import BadInput

WIDTH, HEIGHT = 96, 64
_BITS = 8
RED, GREEN, BLUE, GREY = (220, 30, 30), (30, 180, 30), (30, 30, 220), (128, 128, 128)


def picture(number, width=WIDTH, height=HEIGHT):
    """Upper half: `number` in black and white columns; lower half: red left, green right."""
    image = np.empty((height, width, 3), np.uint8)
    edges = np.linspace(0, width, _BITS + 1).round().astype(int)
    for bit in range(_BITS):
        image[: height // 2, edges[bit] : edges[bit + 1]] = 235 if number >> bit & 1 else 20
    image[height // 2 :, : width // 2] = RED
    image[height // 2 :, width // 2 :] = GREEN
    return image


def number_of(image):
    """The number an upright `picture` says, after any codec; fails on one that is turned or mirrored."""
    height, width = image.shape[:2]
    for (x, y), colour in {(0.25, 0.75): RED, (0.75, 0.75): GREEN}.items():
        found = image[int(y * height), int(x * width)].astype(int)
        assert np.abs(found - colour).max() < 60, f"expected {colour} at {x, y}, found {found}: not upright"
    centres = [int((bit + 0.5) * width / _BITS) for bit in range(_BITS)]
    return sum((image[height // 4, x].mean() > 128) << bit for bit, x in enumerate(centres))


def yuv(image, pix_fmt="yuv420p", matrix="itu709", full_range=False):
    """A video frame of an RGB picture in the given format."""
    frame = av.VideoFrame.from_ndarray(np.ascontiguousarray(image), format="rgb24")
    return frame.reformat(
        format=pix_fmt,
        dst_colorspace=matrix,
        src_color_range="JPEG",
        dst_color_range="JPEG" if full_range else "MPEG",
        interpolation="BICUBIC",
    )


def make_video(
    path,
    images,
    *,
    codec="libx264",
    pix_fmt="yuv420p",
    fps=25,
    times=None,
    tick=None,
    options=None,
    container_options=None,
    sound=None,
    configure=None,
    file=None,
):
    """Write `images` (or numbers of pictures) with PyAV alone.

    times: seconds each is shown at; None: at `fps`. sound: (rate, float32 (channels, samples)[, first second]).
    configure: called with the stream before encoding. file: a file object to write to in place of `path`.
    """
    quiet = {
        "libx265": {"x265-params": "log-level=none"},
        "libvpx-vp9": {"cpu-used": "8"},
        "libsvtav1": {"preset": "12"},
    }
    target = {"file": file, "format": str(path).rsplit(".", 1)[1]} if file else {"file": str(path)}
    with av.open(**target, mode="w", options=container_options or {}) as container:
        stream = container.add_stream(codec, rate=Fraction(fps), options={**quiet.get(codec, {}), **(options or {})})
        first = _image(next(iter(images)))
        stream.width, stream.height = first.shape[1], first.shape[0]
        stream.pix_fmt = pix_fmt
        tick = tick or 1 / Fraction(fps)
        stream.codec_context.time_base = tick
        if configure:
            configure(stream)
        voice = _add_sound(container, path, sound) if sound else None
        for index, image in enumerate(images):
            frame = yuv(_image(image), pix_fmt)
            time = Fraction(index) / Fraction(fps) if times is None else Fraction(times[index])
            frame.pts, frame.time_base = round(time / tick), tick
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
        if voice:
            encode_sound(container, voice, sound)
    return path


def _image(image):
    return picture(image) if isinstance(image, int) else image


def _add_sound(container, path, sound):
    codec = "libopus" if str(path).endswith(".webm") else "aac"
    voice = container.add_stream(codec, rate=sound[0])
    voice.codec_context.layout = "mono" if len(sound[1]) == 1 else "stereo"
    return voice


def encode_sound(container, voice, sound):
    rate, samples, start = (*sound, 0)[:3]
    layout = voice.codec_context.layout.name
    for begin in range(0, samples.shape[1], 1024):
        chunk = np.ascontiguousarray(samples[:, begin : begin + 1024])
        frame = av.AudioFrame.from_ndarray(chunk, format="fltp", layout=layout)
        frame.sample_rate, frame.time_base = rate, Fraction(1, rate)
        frame.pts = begin + round(start * rate)
        container.mux(voice.encode(frame))
    container.mux(voice.encode(None))


def make_sound(path, sound, codec="aac"):
    """Write a file with sound only."""
    with av.open(str(path), "w") as container:
        voice = container.add_stream(codec, rate=sound[0])
        voice.codec_context.layout = "mono" if len(sound[1]) == 1 else "stereo"
        encode_sound(container, voice, sound)
    return path


def beep(at, duration, rate=44100, channels=1, length=0.1):
    """(rate, samples): silence but for a 1 kHz tone `length` seconds long at second `at`."""
    time = np.arange(round(duration * rate)) / rate
    tone = 0.5 * np.sin(2 * np.pi * 1000 * time) * ((time >= at) & (time < at + length))
    return rate, np.repeat(tone[None].astype(np.float32), channels, axis=0)


def heard(path):
    """(rate, float32 (samples,), first second) of a file's sound, on the file's own clock."""
    with av.open(str(path)) as container:
        stream = container.streams.audio[0]
        resampler = av.AudioResampler(format="fltp", layout="mono", rate=stream.rate)
        pieces, start = [], None
        for frame in container.decode(stream):
            start = float(frame.pts * frame.time_base) if start is None else start
            pieces += [part.to_ndarray()[0] for part in resampler.resample(frame)]
        return stream.rate, np.concatenate(pieces), start


def onset(path):
    """When the beep begins, seconds on the clock of the file's pictures (of its sound, if it has none)."""
    rate, samples, start = heard(path)
    window = rate // 500  # 2 ms
    loud = np.sqrt(np.convolve(samples**2, np.ones(window) / window, mode="valid")) > 0.1
    with av.open(str(path)) as container:
        video = container.streams.video
        origin = float(next(container.decode(video[0])).time) if video else 0
    return start + int(np.argmax(loud)) / rate - origin


def assert_refused(read, path, problem):
    """`read` refuses `path` for `problem`, a pattern, and says which file it means and what to do."""
    with pytest.raises(BadInput, match=problem) as refusal:
        read(path)
    assert path.name in refusal.value.problem and refusal.value.advice.endswith(".")
