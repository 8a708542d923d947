"""Still pictures in and out (Pillow): upright 8-bit sRGB arrays, whatever the file holds."""

import io
import logging
import struct
import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageCms, ImageOps, PngImagePlugin, UnidentifiedImageError

from onetoall_cli.errors import BadInput
from onetoall_cli.files import whole_file
from onetoall_cli.files.streams import as_file, ending_of, input_ending
from onetoall_cli.media.colour import on_white
from onetoall_cli.media.containers import PICTURE_STREAMED_AS, picture_format
from onetoall_cli.media.file_errors import reading, writing
from onetoall_cli.media.metadata import PNG_KEYWORD, exif_with, metadata_text

_log = logging.getLogger(__name__)

# What Pillow's parsers raise on broken files, besides OSError.
_PARSER_ERRORS = (
    SyntaxError,
    ValueError,
    EOFError,
    LookupError,
    RuntimeError,
    TypeError,
    ArithmeticError,
    struct.error,
)
_HEIF_SUFFIXES = frozenset({".heic", ".heif", ".hif"})
PICTURE_SUFFIXES = _HEIF_SUFFIXES | {
    *(".apng", ".avif", ".bmp", ".gif", ".jfif", ".jp2", ".jpeg", ".jpg"),
    *(".png", ".ppm", ".tga", ".tif", ".tiff", ".webp"),
}


def read_picture(path: Path | str) -> NDArray[np.uint8]:
    """Read a picture as uint8 (height, width, 3) sRGB.

    It is turned as its EXIF orientation says, converted from its colour profile, and laid on white where it is
    transparent; 16-bit depth is rounded to 8. An animated picture gives its first frame.

    Raises:
        BadInput: the file is missing, not a picture, broken off, or in a format that needs another package.
    """
    path = Path(path)
    with open_picture(path) as image:
        return to_rgb(ImageOps.exif_transpose(image))


@contextmanager
def open_picture(path: Path) -> Iterator[Image.Image]:
    """A Pillow picture of any supported format; reading errors inside the block become `BadInput` too."""
    if input_ending(path) in _HEIF_SUFFIXES:
        _enable_heif(path)
    with reading(path, "picture"):
        try:
            with _opened(path) as image:
                yield image
        except UnidentifiedImageError as error:
            advice = "Pass a picture such as a .png or .jpg; to use a frame of a video, save it as one."
            raise BadInput(f"{path} is not a picture.", advice) from error
        except Image.DecompressionBombError as error:
            raise BadInput(f"{path} has too many pixels.", "Scale it down below 170 megapixels.") from error
        except _PARSER_ERRORS as error:
            raise BadInput(f"{path} is damaged ({error}).", "Open it in an editor and save it again.") from error


def _opened(path: Path) -> Image.Image:
    """Open a picture without Pillow's warnings: a large photo is no attack, and odd EXIF data does no harm."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        image = Image.open(as_file(path))
        image.getexif()  # read and kept now, while its warnings are off
        return image


def _enable_heif(path: Path) -> None:
    try:
        from pillow_heif import register_heif_opener
    except ImportError as error:
        advice = "Install it with `pip install pillow-heif`, or save the picture as .jpg."
        raise BadInput(f"{path} is a HEIC picture, which needs the package pillow-heif.", advice) from error
    register_heif_opener()


def to_rgb(image: Image.Image) -> NDArray[np.uint8]:
    """Convert a Pillow picture of any mode to uint8 (height, width, 3) sRGB on white."""
    if image.mode.startswith(("I", "F")):
        image = _to_8_bit(image)
    profile = image.info.get("icc_profile")
    if image.has_transparency_data:
        rgba = image.convert("RGBA")
        rgb = on_white(np.asarray(rgba))
        return _from_profile(Image.fromarray(rgb), profile)
    return _from_profile(image if image.mode in ("RGB", "L", "CMYK") else image.convert("RGB"), profile)


def _to_8_bit(image: Image.Image) -> Image.Image:
    """A 16-bit, 32-bit or floating-point grey picture as 8-bit grey; floats are taken as 0..1."""
    values = np.asarray(image).astype(np.float64)
    if image.mode == "F":
        values = values * 255
    elif image.mode != "I" or values.max(initial=0) > 255:
        values = values / 257
    return Image.fromarray(np.clip(values + 0.5, 0, 255).astype(np.uint8))


def _from_profile(image: Image.Image, profile: bytes | None) -> NDArray[np.uint8]:
    """Bring a picture to sRGB through its own colour profile, where it has a usable one."""
    if profile:
        try:
            source = ImageCms.ImageCmsProfile(io.BytesIO(profile))
            converted = ImageCms.profileToProfile(image, source, ImageCms.createProfile("sRGB"), outputMode="RGB")
            return np.array(converted)
        except (ImageCms.PyCMSError, OSError) as error:
            _log.info("colour profile not used: %s", error)
    return np.array(image.convert("RGB"))


def write_picture(path: Path | str, image: NDArray[np.uint8], metadata: Mapping[str, Any] | None = None) -> None:
    """Write uint8 (height, width, 3) sRGB as .png, .jpg or .webp (quality 95), whole or not at all.

    Args:
        metadata: settings to keep inside the file; `read_metadata` gives them back.

    Raises:
        BadInput: the suffix is another, or the folder cannot be written.
        OutOfResources: the disk is full.
    """
    path = Path(path)
    options = picture_format(path).options
    suffix = ending_of(path, PICTURE_STREAMED_AS)
    with writing(path), whole_file(path, ending=PICTURE_STREAMED_AS) as temporary:
        Image.fromarray(image).save(temporary, **options, **_stored(metadata, suffix))


def _stored(metadata: Mapping[str, Any] | None, suffix: str) -> dict[str, Any]:
    """Pillow's save options that keep `metadata` in the file."""
    if metadata is None:
        return {}
    text = metadata_text(metadata)
    if suffix != ".png":
        return {"exif": exif_with(text)}
    info = PngImagePlugin.PngInfo()
    info.add_text(PNG_KEYWORD, text)
    return {"pnginfo": info}


def side_by_side(images: Sequence[NDArray[np.uint8]], height: int) -> NDArray[np.uint8]:
    """Scale pictures, uint8 (h, w, 3), to one height and put them next to each other: (height, sum of widths, 3)."""
    scaled = []
    for image in images:
        size = (max(1, round(image.shape[1] * height / image.shape[0])), height)
        picture = Image.fromarray(image)
        scaled.append(np.asarray(picture.resize(size, Image.Resampling.LANCZOS) if picture.size != size else picture))
    return np.concatenate(scaled, axis=1)
