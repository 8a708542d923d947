"""Colour between video frames (YUV of any matrix, range and depth) and 8-bit sRGB arrays."""

from typing import Any

import av
import numpy as np
from av.video.reformatter import ColorRange, Colorspace
from numpy.typing import NDArray
from PIL import Image

from onetoall_cli.media import hdr

# H.273 MatrixCoefficients, as decoders report them, to the numbers of swscale's tables (SWS_CS_*).
_MATRICES = {1: 1, 4: 4, 5: 5, 6: 5, 7: 7, 9: 9, 10: 9}
BT709 = 1  # H.273 code of BT.709's primaries, transfer and matrix alike
LIMITED_RANGE = 1  # AVCOL_RANGE_MPEG
# swscale flags, by number since PyAV names the last two only from 18 on: bicubic, accurate rounding, chroma in full.
_SCALING = 0x4 | 0x40000 | 0x2000


def to_rgb(frame: av.VideoFrame, width: int, height: int) -> NDArray[np.uint8]:
    """Decode a frame's colour and scale it to uint8 (height, width, 3) sRGB; transparency becomes white."""
    transfer = int(frame.color_trc)
    if transfer in (hdr.PQ, hdr.HLG):
        return hdr.to_sdr(_full_range(frame, width, height, "rgb48le"), transfer)
    if any(component.is_alpha for component in frame.format.components):
        return on_white(_full_range(frame, width, height, "rgba"))
    return _full_range(frame, width, height, "rgb24")


def _full_range(frame: av.VideoFrame, width: int, height: int, pixel_format: str) -> NDArray:
    return frame.reformat(
        width=width,
        height=height,
        format=pixel_format,
        src_colorspace=_matrix(frame),
        dst_colorspace=Colorspace.ITU709,
        src_color_range=_range(frame),
        dst_color_range=ColorRange.JPEG,
        interpolation=_SCALING,
    ).to_ndarray()


def to_yuv(image: NDArray[np.uint8], pixels: str = "yuv420p") -> av.VideoFrame:
    """A BT.709 limited-range frame of a uint8 (height, width, 3 or 4) sRGB picture with even sides."""
    return av.VideoFrame.from_ndarray(image, format="rgba" if image.shape[2] == 4 else "rgb24").reformat(
        format=pixels,
        dst_colorspace=Colorspace.ITU709,
        src_color_range=ColorRange.JPEG,
        dst_color_range=ColorRange.MPEG,
        interpolation=_SCALING,
    )


def to_palette(image: NDArray[np.uint8]) -> av.VideoFrame:
    """A 256-colour frame with its own palette, dithered, of a uint8 (height, width, 3) picture."""
    picture = Image.fromarray(image)
    reduced = picture.quantize(palette=picture.quantize(256), dither=Image.Dither.FLOYDSTEINBERG)
    palette = np.full((256, 4), 255, np.uint8)  # alpha, red, green, blue
    colours = np.array(reduced.getpalette(), np.uint8).reshape(-1, 3)
    palette[: len(colours), 1:] = colours
    indexed: Any = (np.asarray(reduced), palette)  # a pair, which PyAV takes for pal8 but does not annotate
    return av.VideoFrame.from_ndarray(indexed, format="pal8")


def on_white(rgba: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Composite uint8 (height, width, 4) on white: (height, width, 3)."""
    colour, alpha = rgba[..., :3].astype(np.uint16), rgba[..., 3:].astype(np.uint16)
    return ((colour * alpha + 255 * (255 - alpha) + 127) // 255).astype(np.uint8)


def _matrix(frame: av.VideoFrame) -> int:
    """swscale's number of the frame's YUV matrix; an untagged one is guessed from its size, as players do."""
    untagged = Colorspace.ITU709 if frame.height > 576 or frame.width >= 1280 else Colorspace.ITU601
    return _MATRICES.get(int(frame.colorspace), untagged)


def _range(frame: av.VideoFrame) -> ColorRange:
    is_full = frame.color_range == ColorRange.JPEG or frame.format.name.startswith("yuvj") or frame.format.is_rgb
    return ColorRange.JPEG if is_full else ColorRange.MPEG
