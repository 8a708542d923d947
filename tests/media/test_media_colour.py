"""Colours: any YUV matrix, range and depth comes out as the sRGB it means, and what is written comes back the same."""

import av
import numpy as np
import pytest

from onetoall_cli.media import VideoWriter, hdr, open_video

# Colour bars, a grey ramp and skin tones: 64 x 64 blocks, far from each other's chroma.
COLOURS = [
    *[(r, g, b) for r in (16, 235) for g in (16, 235) for b in (16, 235)],
    *[(level, level, level) for level in (0, 32, 64, 128, 192, 255)],
    *[(224, 172, 105), (141, 85, 36)],
]
BLOCK = 16
PICTURE = np.repeat(np.repeat(np.array(COLOURS, np.uint8).reshape(4, 4, 3), BLOCK, 0), BLOCK, 1)
MATRICES = {"709": (0.2126, 0.0722, 1), "601": (0.299, 0.114, 6), "2020": (0.2627, 0.0593, 9)}  # Kr, Kb, H.273 code


def planes(rgb, matrix, full_range, bits):
    """Y'CbCr (3, H, W) by the equations of ITU-R BT.709, BT.601 and BT.2020, independent of ffmpeg."""
    red_share, blue_share, _ = MATRICES[matrix]
    red, green, blue = np.moveaxis(rgb / 255.0, -1, 0)
    luma = red_share * red + (1 - red_share - blue_share) * green + blue_share * blue
    cb, cr = (blue - luma) / (2 - 2 * blue_share), (red - luma) / (2 - 2 * red_share)
    scale = 2 ** (bits - 8)
    if full_range:
        top = 2**bits - 1
        coded = [luma * top, cb * top + 128 * scale, cr * top + 128 * scale]
    else:
        coded = [(luma * 219 + 16) * scale, (cb * 224 + 128) * scale, (cr * 224 + 128) * scale]
    return np.clip(np.round(coded), 0, 2**bits - 1)


def lossless_video(path, coded, bits, tags):
    """One frame of given (3, H, W) samples, untouched by any conversion; tags: (matrix, range, transfer, primaries)."""
    pixel_format = "yuv444p" if bits == 8 else f"yuv444p{bits}le"
    frame = av.VideoFrame(coded.shape[2], coded.shape[1], pixel_format)
    for plane, samples in zip(frame.planes, coded, strict=True):
        samples = samples.astype("u1" if bits == 8 else "<u2")
        padded = np.zeros((plane.height, plane.line_size), np.uint8)
        padded[:, : samples.shape[1] * samples.itemsize] = samples.view(np.uint8)
        plane.update(padded.tobytes())
    matrix, colour_range, transfer, primaries = tags
    frame.pts, frame.colorspace, frame.color_range = 0, matrix, colour_range
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=25, options={"qp": "0"})
        stream.width, stream.height, stream.pix_fmt = frame.width, frame.height, pixel_format
        context = stream.codec_context
        context.colorspace, context.color_range = matrix, colour_range
        context.color_trc, context.color_primaries = transfer, primaries
        container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    return path


def only_frame(path):
    (frame,) = open_video(path)
    return frame.image


def centres(image):
    return image[BLOCK // 2 :: BLOCK, BLOCK // 2 :: BLOCK].astype(int)


@pytest.mark.parametrize("bits", [8, 10])
@pytest.mark.parametrize("full_range", [False, True])
@pytest.mark.parametrize("matrix", MATRICES)
def test_every_tagged_matrix_range_and_depth_decodes_to_the_colours_meant(tmp_path, matrix, full_range, bits):
    coded = planes(PICTURE, matrix, full_range, bits)
    tags = (MATRICES[matrix][2], 2 if full_range else 1, 1, 1)
    image = only_frame(lossless_video(tmp_path / "v.mp4", coded, bits, tags))
    assert np.abs(centres(image) - centres(PICTURE)).max() <= 2


@pytest.mark.parametrize(("matrix", "size"), [("601", (64, 64)), ("709", (1280, 64)), ("709", (64, 720))])
def test_untagged_video_is_taken_as_players_take_it(tmp_path, matrix, size):
    picture = np.zeros((size[1], size[0], 3), np.uint8)
    picture[:64, :64] = PICTURE
    image = only_frame(lossless_video(tmp_path / "v.mp4", planes(picture, matrix, False, 8), 8, (2, 0, 2, 2)))
    assert np.abs(centres(image[:64, :64]) - centres(PICTURE)).max() <= 2


@pytest.mark.parametrize("name", ["v.mp4", "v.mov", "v.mkv", "v.webm"])
def test_colours_written_come_back(tmp_path, name):
    with VideoWriter(tmp_path / name, 64, 64, fps=25, crf=4) as writer:
        writer.write(PICTURE)
    assert np.abs(centres(only_frame(tmp_path / name)) - centres(PICTURE)).max() <= 4


def test_what_is_written_is_bt709_limited_range_and_says_so(tmp_path):
    grey = np.zeros((64, 64, 3), np.uint8)
    grey[:, 32:] = 255
    with VideoWriter(tmp_path / "v.mp4", 64, 64, fps=25) as writer:
        writer.write(grey)
    with av.open(str(tmp_path / "v.mp4")) as container:
        frame = next(container.decode(video=0))
    assert (frame.format.name, frame.colorspace, frame.color_range) == ("yuv420p", 1, 1)
    assert (frame.color_primaries, frame.color_trc) == (1, 1)
    luma = frame.to_ndarray()[:64]
    assert (luma[32, 4], luma[32, 60]) == (16, 235)


def test_gif_colours_come_back(tmp_path):
    with VideoWriter(tmp_path / "v.gif", 64, 64, fps=25) as writer:
        writer.write(PICTURE)
        writer.write(255 - PICTURE)
    first, second = (frame.image for frame in open_video(tmp_path / "v.gif"))
    assert np.abs(centres(first) - centres(PICTURE)).max() <= 2
    assert np.abs(centres(second) - centres(255 - PICTURE)).max() <= 2


def test_neither_colours_nor_edges_drift_over_generations(tmp_path):
    image = PICTURE
    for generation in range(4):
        path = tmp_path / f"{generation}.mp4"
        with VideoWriter(path, 64, 64, fps=25, crf=4) as writer:
            writer.write(image)
        image = only_frame(path)
    assert np.abs(centres(image) - centres(PICTURE)).max() <= 6
    inner = np.s_[3 * BLOCK + 4 : 4 * BLOCK - 4, BLOCK + 4 : 2 * BLOCK - 4]  # chroma, at half size, stays in its block
    assert np.abs(image[inner].astype(int) - PICTURE[inner]).max() <= 8


# High dynamic range. Signals of diffuse white (203 nits, ITU-R BT.2408 table 1): HLG 75 %, PQ 58 %.
WHITE_SIGNAL = {hdr.HLG: 0.75, hdr.PQ: 0.5807}


@pytest.mark.parametrize("transfer", [hdr.HLG, hdr.PQ])
def test_hdr_white_is_nearly_white_black_is_black_and_highlights_lie_above(tmp_path, transfer):
    levels = np.array([0, WHITE_SIGNAL[transfer] / 2, WHITE_SIGNAL[transfer], 1]).repeat(16)[None].repeat(64, 0)
    signal = (levels[..., None] * 255).repeat(3, -1)
    coded = planes(signal, "2020", False, 10)
    image = only_frame(lossless_video(tmp_path / "v.mp4", coded, 10, (9, 1, transfer, 9)))
    black, middle, white, peak = image[32, 8::16].astype(int).tolist()
    assert black == [0, 0, 0] and peak == [255, 255, 255]
    assert max(white) - min(white) <= 1 and 215 <= white[0] <= 235
    assert 30 < middle[0] < white[0] - 60


@pytest.mark.parametrize("transfer", [hdr.HLG, hdr.PQ])
def test_hdr_of_a_bt709_colour_gives_that_colour(transfer):
    """Dim sRGB orange, below the knee, encoded by hand to BT.2020 HLG or PQ, comes back as it was."""
    srgb = np.array([150, 90, 40])
    linear = ((srgb / 255 + 0.055) / 1.055) ** 2.4
    wide = np.linalg.inv(np.array([[1.6605, -0.5876, -0.0728], [-0.1246, 1.1329, -0.0083], [-0.0182, -0.1006, 1.1187]]))
    nits = 203 * wide @ linear
    if transfer == hdr.PQ:
        power = (nits / 10000) ** (2610 / 16384)
        signal = ((3424 / 4096 + 2413 / 128 * power) / (1 + 2392 / 128 * power)) ** (2523 / 32)
    else:
        display = nits / 1000
        luminance = display @ [0.2627, 0.6780, 0.0593]
        scene = display * luminance ** (1 / 1.2 - 1)
        low, high = np.sqrt(3 * scene), 0.17883277 * np.log(np.maximum(12 * scene - 0.28466892, 1e-9)) + 0.55991073
        signal = np.where(scene <= 1 / 12, low, high)
    found = hdr.to_sdr(np.round(signal * 65535).astype(np.uint16)[None, None], transfer)[0, 0]
    assert np.abs(found.astype(int) - srgb).max() <= 1
