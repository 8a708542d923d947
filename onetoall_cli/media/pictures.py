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
from PIL import ExifTags, Image, ImageCms, ImageOps, PngImagePlugin, UnidentifiedImageError

from onetoall_cli.errors import BadInput
from onetoall_cli.files import whole_file
from onetoall_cli.files.names import HEIF_SUFFIXES
from onetoall_cli.files.streams import as_file, ending_of, input_ending
from onetoall_cli.media.colour import on_white
from onetoall_cli.media.containers import PICTURE_STREAMED_AS, picture_format
from onetoall_cli.media.deep_colour import restore_low_bytes
from onetoall_cli.media.file_errors import reading, writing
from onetoall_cli.media.metadata import PNG_KEYWORD, exif_with, metadata_text

_log = logging.getLogger(__name__)

# What Pillow's parsers raise on broken files, besides OSError.
_PARSER_ERRORS = (
    AssertionError,
    SyntaxError,
    ValueError,
    EOFError,
    LookupError,
    RuntimeError,
    TypeError,
    ArithmeticError,
    struct.error,
    ImageCms.PyCMSError,
)
_LYING = (5, 6, 7, 8)  # EXIF orientations that turn by a quarter
# Beyond any picture that helps here (a 64-megapixel photo is within); reading one so large takes 0.5 GB.
MAX_PIXELS = 1 << 26
_STRIP_PIXELS = 1 << 20  # converted at a time, so that in-between results stay small beside the picture


def read_picture(path: Path | str) -> NDArray[np.uint8]:
    """Read a picture as uint8 (height, width, 3) sRGB.

    It is turned as its EXIF orientation says, converted from its colour profile, and laid on white where it is
    transparent; 16-bit depth is rounded to 8. An animated picture gives its first frame.

    Raises:
        BadInput: The file is missing, not a picture, broken off, larger than `MAX_PIXELS`, or in a format that needs
            another package.
    """
    path = Path(path)
    with open_picture(path) as image:
        ImageOps.exif_transpose(image, in_place=True)
        return to_rgb(image)


def picture_size(path: Path) -> tuple[int, int]:
    """(width, height) of a picture as `read_picture` turns it, from its header alone.

    Raises:
        BadInput: As `read_picture`, but for damage behind the header.
    """
    with _header(path) as image, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        exif = Image.Image.getexif(image)  # a PNG's own decodes the picture, as the data may stand behind it
        width, height = image.size
        return (height, width) if exif.get(ExifTags.Base.Orientation) in _LYING else (width, height)


@contextmanager
def open_picture(path: Path) -> Iterator[Image.Image]:
    """A Pillow picture of any supported format; reading errors inside the block become `BadInput` too."""
    with _header(path) as image:
        restore_low_bytes(image, path)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            image.getexif()  # read and kept now, while its warnings are off: odd EXIF data does no harm
        yield image


@contextmanager
def _header(path: Path) -> Iterator[Image.Image]:
    """A picture of which only the header was read, no larger than can be held."""
    if input_ending(path) in HEIF_SUFFIXES:
        _enable_heif(path)
    with reading(path, "picture"):
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # Pillow's own limit is a warning, and lies above ours
                opened = Image.open(as_file(path))
            with opened as image:
                if image.width * image.height > MAX_PIXELS:
                    raise too_large(path, f": {image.width} x {image.height}")
                yield image
        except UnidentifiedImageError as error:
            advice = "Pass a picture such as a .png or .jpg; to use a frame of a video, save it as one."
            raise BadInput(f"{path} is not a picture.", advice) from error
        except Image.DecompressionBombError as error:
            raise too_large(path) from error
        except _PARSER_ERRORS as error:
            raise BadInput(
                f"{path} is damaged ({str(error) or 'its parts do not fit together'}).",
                "Open it in an editor and save it again.",
            ) from error


def too_large(path: Path, size: str = "", limit: int = MAX_PIXELS) -> BadInput:
    """The error of a picture with too many pixels; `size` is said behind that."""
    advice = f"Scale it down to {limit // 1_000_000} megapixels at most."
    return BadInput(f"{path} has too many pixels{size}.", advice)


def _enable_heif(path: Path) -> None:
    try:
        from pillow_heif import register_heif_opener
    except ImportError as error:
        advice = "Install it with `pip install pillow-heif`, or save the picture as .jpg."
        raise BadInput(f"{path} is a HEIC picture, which needs the package pillow-heif.", advice) from error
    register_heif_opener()


def to_rgb(image: Image.Image) -> NDArray[np.uint8]:
    """Convert a Pillow picture of any mode to uint8 (height, width, 3) sRGB on white."""
    is_deep = image.mode.startswith(("I", "F"))
    divisor = _grey_divisor(image) if is_deep else 1.0
    transparent = image.has_transparency_data and not is_deep
    mode = "L" if is_deep else image.mode if image.mode in ("RGB", "L", "CMYK") and not transparent else "RGB"
    to_srgb = _srgb_transform(image, mode)
    rgb = np.empty((image.height, image.width, 3), np.uint8)
    for top, strip in _strips(image):
        if is_deep:
            strip = _to_8_bit(strip, divisor)
        elif transparent:
            strip = Image.fromarray(on_white(np.asarray(strip.convert("RGBA"))))
        strip = strip.convert(mode)
        converted = ImageCms.applyTransform(strip, to_srgb) if to_srgb else strip.convert("RGB")
        rgb[top : top + strip.height] = np.asarray(converted)
    return rgb


def _strips(image: Image.Image) -> Iterator[tuple[int, Image.Image]]:
    """A picture from top to bottom in strips of some rows, each with its first row."""
    rows = max(1, _STRIP_PIXELS // image.width)
    for top in range(0, image.height, rows):
        yield top, image.crop((0, top, image.width, min(top + rows, image.height)))


def _grey_divisor(image: Image.Image) -> float:
    """What brings the values of a deep grey picture to 0..255: floats are taken as 0..1. Whole numbers that all lie
    below 256 are 8-bit ones that a tool stored in 16 or 32 bits: as true 16-bit ones they would show nothing. Of
    pictures in colour, see `deep_colour`."""
    if image.mode == "F":
        return 1 / 255
    return 1.0 if max(np.asarray(strip).max() for _, strip in _strips(image)) < 256 else 257.0


def _to_8_bit(strip: Image.Image, divisor: float) -> Image.Image:
    with np.errstate(invalid="ignore"):  # a NaN becomes black
        values = np.nan_to_num(np.asarray(strip).astype(np.float64)) / divisor
    return Image.fromarray(np.clip(values + 0.5, 0, 255).astype(np.uint8))


def _srgb_transform(image: Image.Image, mode: str) -> ImageCms.ImageCmsTransform | None:
    """From the picture's own colour profile to sRGB, for pixels of `mode`; None where it has no usable one."""
    profile = image.info.get("icc_profile")
    if not profile:
        return None
    try:
        source = ImageCms.ImageCmsProfile(io.BytesIO(profile))
        return ImageCms.buildTransform(source, ImageCms.createProfile("sRGB"), mode, "RGB")
    except (ImageCms.PyCMSError, OSError) as error:
        _log.info("colour profile not used: %s", error)
        return None


def write_picture(path: Path | str, image: NDArray[np.uint8], metadata: Mapping[str, Any] | None = None) -> None:
    """Write a picture as .png, .jpg or .webp (quality 95), whole or not at all.

    Args:
        image: Uint8 (height, width, 3) sRGB; with transparency (height, width, 4), not multiplied with it.
        metadata: Settings to keep inside the file; `read_metadata` gives them back.

    Raises:
        BadInput: The suffix is another or cannot hold transparency, or the folder cannot be written.
        OutOfResources: The disk is full.
    """
    path = Path(path)
    written = picture_format(path)
    options, suffix = written.options, ending_of(path, PICTURE_STREAMED_AS)
    if image.shape[2] == 4 and not written.alpha:
        raise BadInput(f"{path} cannot hold transparency.", "Write .png or .webp.")
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
