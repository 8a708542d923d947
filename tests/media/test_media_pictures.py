"""Pictures: whatever the file holds comes out as the upright 8-bit sRGB picture that a viewer shows."""

import errno
import io
import os
from pathlib import Path

import cv2
import numpy as np
import pytest
from made_media import GREEN, RED, assert_refused, make_video, picture
from PIL import Image, ImageCms, features

from onetoall_cli.errors import BadInput, OutOfResources
from onetoall_cli.media import open_video, pictures, read_picture, side_by_side, write_picture

CASES = Path(__file__).parents[1] / "data" / "cases"
PICTURE = picture(13)


@pytest.mark.parametrize("name", ["a.png", "a.bmp", "a.tif", "a.tga", "a.ppm"])
def test_lossless_formats_come_back_exactly(tmp_path, name):
    Image.fromarray(PICTURE).save(tmp_path / name)
    found = read_picture(tmp_path / name)
    assert found.dtype == np.uint8 and np.array_equal(found, PICTURE)
    assert found.flags.writeable


@pytest.mark.parametrize("name", ["a.jpg", "a.webp", "a.avif", "a.jp2"])
def test_lossy_formats_come_back_closely(tmp_path, name):
    if name == "a.avif" and not features.check("avif"):
        pytest.skip("AVIF comes with Pillow 11.3")
    Image.fromarray(PICTURE).save(tmp_path / name, quality=95)
    assert np.abs(read_picture(tmp_path / name).astype(int) - PICTURE).mean() < 3


# EXIF orientation: what to do with the stored picture to see it upright (EXIF 2.3, tag 0x0112), undone here.
STORED = {
    1: lambda seen: seen,
    2: lambda seen: seen[:, ::-1],
    3: lambda seen: seen[::-1, ::-1],
    4: lambda seen: seen[::-1],
    5: lambda seen: seen.transpose(1, 0, 2),
    6: lambda seen: np.rot90(seen, 1),
    7: lambda seen: seen[::-1, ::-1].transpose(1, 0, 2),
    8: lambda seen: np.rot90(seen, -1),
}


@pytest.mark.parametrize("orientation", STORED)
@pytest.mark.parametrize("suffix", [".jpg", ".png", ".webp"])
def test_every_exif_orientation_is_applied(tmp_path, orientation, suffix):
    exif = Image.Exif()
    exif[0x0112] = orientation
    stored = np.ascontiguousarray(STORED[orientation](PICTURE))
    Image.fromarray(stored).save(tmp_path / f"a{suffix}", exif=exif, quality=95)
    found = read_picture(tmp_path / f"a{suffix}")
    assert found.shape == PICTURE.shape
    assert np.abs(found.astype(int) - PICTURE).mean() < 3


def test_transparency_is_laid_on_white(tmp_path):
    alpha = np.linspace(0, 255, 96).round().astype(np.uint8)[None].repeat(64, 0)
    Image.fromarray(np.dstack([PICTURE, alpha])).save(tmp_path / "a.png")
    found = read_picture(tmp_path / "a.png").astype(float)
    expected = PICTURE * (alpha[..., None] / 255) + 255 * (1 - alpha[..., None] / 255)
    assert np.abs(found - expected).max() <= 0.51


def test_grey_with_transparency_is_laid_on_white(tmp_path):
    grey = Image.merge("LA", [Image.new("L", (4, 4), 100), Image.new("L", (4, 4), 0)])
    grey.save(tmp_path / "a.png")
    assert (read_picture(tmp_path / "a.png") == 255).all()


def test_a_palette_is_looked_up_and_its_transparent_colour_is_white(tmp_path):
    indexed = Image.fromarray(PICTURE).quantize(16)
    indexed.save(tmp_path / "a.png")
    assert np.abs(read_picture(tmp_path / "a.png").astype(int) - PICTURE).max() <= 2
    red = indexed.getpixel((5, 60))
    indexed.save(tmp_path / "b.png", transparency=red)
    found = read_picture(tmp_path / "b.png")
    assert found[60, 5].tolist() == [255] * 3 and np.abs(found[60, 90].astype(int) - GREEN).max() <= 2


def test_16_bit_grey_is_rounded_to_8(tmp_path):
    ramp = np.linspace(0, 65535, 256).round().astype(np.uint16)[None].repeat(4, 0)
    Image.fromarray(ramp).save(tmp_path / "a.png")
    assert np.array_equal(read_picture(tmp_path / "a.png")[0, :, 1], np.arange(256))


@pytest.mark.parametrize("suffix", [".png", ".tif"])
def test_8_bit_values_in_a_16_bit_file_are_not_black(tmp_path, suffix):
    ramp = np.arange(256, dtype=np.uint16)[None].repeat(4, 0)
    Image.fromarray(ramp).save(tmp_path / f"a{suffix}")
    assert np.array_equal(read_picture(tmp_path / f"a{suffix}")[0, :, 1], np.arange(256))


def test_the_dark_grey_picture_that_went_wrong_is_not_black():
    assert read_picture(CASES / "pictures" / "grey16_dark.png").max() == 127


@pytest.mark.parametrize("suffix", [".png", ".tif"])
@pytest.mark.parametrize("alpha", [None, 255, 65535])
def test_8_bit_values_in_16_bits_of_colour_are_not_black(tmp_path, suffix, alpha):
    deep = PICTURE.astype(np.uint16)[..., ::-1]
    if alpha is not None:
        deep = np.dstack([deep, np.full(deep.shape[:2], alpha, np.uint16)])
    cv2.imwrite(str(tmp_path / f"a{suffix}"), deep)
    assert np.array_equal(read_picture(tmp_path / f"a{suffix}"), PICTURE)


def test_16_bit_colour_png_keeps_its_8_upper_bits(tmp_path):
    deep = PICTURE.astype(np.uint16) * 257
    cv2.imwrite(str(tmp_path / "a.png"), deep[..., ::-1])
    assert np.array_equal(read_picture(tmp_path / "a.png"), PICTURE)


@pytest.mark.parametrize(("mode", "pixel", "expected"), [("1", 1, 255), ("L", 77, 77), ("I", 40, 40), ("F", 0.5, 128)])
def test_grey_of_any_depth_is_grey(tmp_path, mode, pixel, expected):
    Image.new(mode, (4, 4), pixel).save(tmp_path / "a.tif")
    assert (read_picture(tmp_path / "a.tif") == expected).all()


def test_cmyk_is_converted(tmp_path):
    Image.fromarray(PICTURE).convert("CMYK").save(tmp_path / "a.jpg", quality=95)
    found = read_picture(tmp_path / "a.jpg")
    assert np.abs(found[60, 20].astype(int) - RED).max() < 12


def linear_profile():
    """A colour profile with sRGB's primaries but linear light: a conversion that nobody can miss."""
    profile = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    image = bytearray(profile)
    # Replace each tone curve (ICC.1 10.18, 'para') by the curve y = x: type 0 with gamma 1.
    position = image.find(b"para")
    while position >= 0:
        image[position + 8 : position + 10] = (0).to_bytes(2, "big")
        image[position + 12 : position + 16] = (1 << 16).to_bytes(4, "big")
        position = image.find(b"para", position + 4)
    return bytes(image)


def test_a_colour_profile_is_converted_to_srgb(tmp_path):
    Image.new("RGB", (4, 4), (55, 55, 55)).save(tmp_path / "a.png", icc_profile=linear_profile())
    found = read_picture(tmp_path / "a.png")
    expected = 255 * (1.055 * (55 / 255) ** (1 / 2.4) - 0.055)  # 128: the sRGB value of 21.6 % light
    assert np.abs(found.astype(int) - expected).max() <= 1.5


def test_a_broken_colour_profile_is_left_aside(tmp_path):
    Image.fromarray(PICTURE).save(tmp_path / "a.png", icc_profile=b"not a profile")
    assert np.array_equal(read_picture(tmp_path / "a.png"), PICTURE)


@pytest.mark.parametrize("name", ["a.gif", "a.webp", "a.png"])
def test_an_animation_gives_its_first_frame(tmp_path, name):
    frames = [Image.fromarray(picture(number)) for number in (3, 200)]
    frames[0].save(tmp_path / name, save_all=True, append_images=frames[1:], lossless=True)
    assert np.abs(read_picture(tmp_path / name).astype(int) - picture(3)).max() <= 2


def test_the_content_counts_and_not_the_suffix(tmp_path):
    Image.fromarray(PICTURE).save(tmp_path / "a.png")
    (tmp_path / "a.png").rename(tmp_path / "a.jpg")
    assert np.array_equal(read_picture(tmp_path / "a.jpg"), PICTURE)


def test_a_heic_picture_is_read_with_pillow_heif(tmp_path):
    heif = pytest.importorskip("pillow_heif")
    heif.from_pillow(Image.fromarray(PICTURE)).save(tmp_path / "a.heic", quality=95)
    assert np.abs(read_picture(tmp_path / "a.heic").astype(int) - PICTURE).mean() < 4


def test_a_heic_picture_without_pillow_heif_says_how_to_get_it(tmp_path, monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "pillow_heif", None)
    (tmp_path / "a.heic").write_bytes(b"heic")
    with pytest.raises(BadInput, match="pip install pillow-heif"):
        read_picture(tmp_path / "a.heic")


def cut_png(path):
    whole = io.BytesIO()
    Image.fromarray(np.random.default_rng(0).integers(0, 256, (64, 64, 3), np.uint8)).save(whole, "PNG")
    path.write_bytes(whole.getvalue()[:3000])


@pytest.mark.parametrize(
    ("name", "make", "problem"),
    [
        ("missing.png", lambda path: None, "does not exist"),
        ("text.png", lambda path: path.write_text("words"), "is not a picture"),
        ("empty.png", lambda path: path.write_bytes(b""), "is not a picture"),
        ("movie.mp4", lambda path: make_video(path, range(3)), "is not a picture"),
        ("cut.png", cut_png, "cannot be read as a picture .*truncated"),
        ("folder", lambda path: path.mkdir(), "cannot be read as a picture .*directory"),
    ],
)
def test_what_is_no_picture_is_refused_with_the_reason(tmp_path, name, make, problem):
    make(tmp_path / name)
    assert_refused(read_picture, tmp_path / name, problem)


def test_a_picture_too_large_to_be_meant_is_refused(tmp_path, monkeypatch):
    Image.fromarray(PICTURE).save(tmp_path / "a.png")
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 100)
    with pytest.raises(BadInput, match="too many pixels"):
        read_picture(tmp_path / "a.png")


def test_a_large_photo_is_read_without_a_warning(tmp_path, monkeypatch, recwarn):
    Image.fromarray(PICTURE).save(tmp_path / "a.png")
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 96 * 64 - 1)
    assert read_picture(tmp_path / "a.png").shape == PICTURE.shape and not recwarn.list


def test_a_picture_beyond_the_limit_is_refused_before_it_is_decoded(tmp_path, monkeypatch):
    Image.fromarray(PICTURE).save(tmp_path / "a.png")
    content = (tmp_path / "a.png").read_bytes()
    (tmp_path / "a.png").write_bytes(content[: content.index(b"IDAT") + 4])  # nothing is left to decode
    monkeypatch.setattr(pictures, "MAX_PIXELS", 96 * 64 - 1)
    for read in (read_picture, open_video, pictures.picture_size):
        assert_refused(read, tmp_path / "a.png", "too many pixels: 96 x 64")
    monkeypatch.setattr(pictures, "MAX_PIXELS", 96 * 64)
    assert_refused(read_picture, tmp_path / "a.png", "cannot be read|damaged")


@pytest.mark.parametrize("mode", ["RGB", "RGBA", "L", "LA", "P", "I;16", "I", "F", "CMYK", "1"])
def test_a_picture_read_in_strips_is_the_one_read_whole(tmp_path, monkeypatch, mode):
    noise = np.random.default_rng(3).integers(0, 256, (61, 37, 4), np.uint8)
    deep = {"I;16": np.uint16, "I": np.int32, "F": np.float32}
    if mode in deep:
        image = Image.fromarray((noise[..., 0] * (1 / 255 if mode == "F" else 200)).astype(deep[mode]))
    else:
        image = Image.fromarray(noise if mode in ("RGBA", "CMYK") else noise[..., :3]).convert(mode)
    image.save(tmp_path / "a.tif", icc_profile=linear_profile() if mode == "RGB" else None)
    whole = read_picture(tmp_path / "a.tif")
    monkeypatch.setattr(pictures, "_STRIP_PIXELS", 100)
    assert np.array_equal(read_picture(tmp_path / "a.tif"), whole) and len(np.unique(whole)) > 1


@pytest.mark.parametrize("name", ["a.png", "A.PNG"])
def test_a_png_written_reads_back_exactly(tmp_path, name):
    write_picture(tmp_path / name, PICTURE)
    assert np.array_equal(read_picture(tmp_path / name), PICTURE)
    assert len(list(tmp_path.iterdir())) == 1


@pytest.mark.parametrize("name", ["a.jpg", "a.jpeg", "a.webp"])
def test_a_lossy_picture_written_keeps_its_colours(tmp_path, name):
    write_picture(tmp_path / name, PICTURE)
    assert np.abs(read_picture(tmp_path / name).astype(int) - PICTURE).mean() < 3


@pytest.mark.parametrize("name", ["a.mp4", "a", "a.gif", "a.apng"])
def test_a_suffix_that_is_not_written_is_refused(tmp_path, name):
    with pytest.raises(BadInput, match=r"Use \.png, \.jpg"):
        write_picture(tmp_path / name, PICTURE)
    assert not list(tmp_path.iterdir())


def test_a_full_disk_is_said_and_leaves_nothing(tmp_path, monkeypatch):
    def full(self, path, **_):
        path.write_bytes(b"half")
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(pictures.Image.Image, "save", full)
    with pytest.raises(OutOfResources, match="disk is full"):
        write_picture(tmp_path / "a.png", PICTURE)
    assert not list(tmp_path.iterdir())


def test_pictures_side_by_side_share_one_height_and_keep_their_shape():
    red = np.full((100, 50, 3), RED, np.uint8)
    green = np.full((30, 60, 3), GREEN, np.uint8)
    joined = side_by_side([red, green, red], 60)
    assert joined.shape == (60, 30 + 120 + 30, 3) and joined.dtype == np.uint8
    for column, colour in ((0, RED), (29, RED), (30, GREEN), (149, GREEN), (150, RED), (179, RED)):
        assert (joined[:, column] == colour).all()


def test_pictures_of_the_height_asked_for_are_not_resampled():
    assert np.array_equal(side_by_side([PICTURE, PICTURE], 64), np.concatenate([PICTURE, PICTURE], axis=1))
