"""Photos are what a person sees: colours, depth, transparency and which way is up."""

import io
import struct
import zlib

import numpy as np
import pytest
from PIL import Image

from amad_bench.data.images.decode_photo import decode_photo
from amad_bench.runtime.errors import UserError

GREY_16 = np.arange(2**16, dtype=np.uint16).reshape(256, 256)
COLOURS = np.random.default_rng(0).integers(0, 256, (16, 24, 3), np.uint8)


def saved(image: Image.Image, form: str, **options) -> bytes:
    content = io.BytesIO()
    image.save(content, form, **options)
    return content.getvalue()


def png(colour_type: int, bits: int, row: bytes, width: int, transparent: bytes = b"") -> bytes:
    """One row of pixels as the PNG standard lays them out (numbers with the high byte first)."""

    def chunk(name: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))

    return b"".join(
        [
            b"\x89PNG\r\n\x1a\n",
            chunk(b"IHDR", struct.pack(">IIBBBBB", width, 1, bits, colour_type, 0, 0, 0)),
            chunk(b"tRNS", transparent) if transparent else b"",
            chunk(b"IDAT", zlib.compress(b"\0" + row)),
            chunk(b"IEND", b""),
        ]
    )


def decoded(content: bytes) -> np.ndarray:
    image = decode_photo(content, "a.png")
    assert image.mode == "RGB"
    return np.asarray(image)


def test_grey_of_16_bits() -> None:
    content = png(0, 16, struct.pack(">4H", 0, 1000, 25700, 65535), 4)
    assert decoded(content).tolist() == [[[grey] * 3 for grey in (0, 4, 100, 255)]]


@pytest.mark.parametrize("form", ["PNG", "TIFF", "TIFF big-endian", "JPEG2000"])
def test_every_grey_of_16_bits(form: str) -> None:
    image = Image.fromarray(GREY_16.astype(">u2") if "big" in form else GREY_16)
    expected = np.round(GREY_16 / 257).astype(np.uint8)
    assert np.array_equal(decoded(saved(image, form.partition(" ")[0]))[:, :, 1], expected)


def test_colours_of_16_bits_lose_their_low_byte() -> None:
    values = (0, 1000, 65535, 25700, 25828, 32768)
    found = decoded(png(2, 16, struct.pack(">6H", *values), 2)).reshape(-1)
    assert np.abs(found - np.array(values) / 257).max() < 1


DEEP = Image.fromarray(GREY_16[:4])


@pytest.mark.parametrize(
    "content",
    [
        saved(Image.fromarray(GREY_16[:4].astype(np.int32)), "TIFF"),
        saved(Image.fromarray(GREY_16[:4].astype(np.float32)), "TIFF"),
        saved(DEEP, "TIFF", tiffinfo={262: 0}),  # 0 is white
        b"P5 2 1 1023\n" + struct.pack(">2H", 10, 1023),
        png(0, 16, struct.pack(">2H", 0, 1000), 2, transparent=struct.pack(">H", 1000)),
    ],
    ids=["whole numbers", "floats", "white is zero", "PGM", "a transparent grey"],
)
def test_greys_whose_black_and_white_are_not_known(content: bytes) -> None:
    with pytest.raises(UserError, match=r"^x/a has grey values of mode .* not known; save it with 8 bits$"):
        decode_photo(content, "x/a")


@pytest.mark.parametrize(
    ("form", "mode"),
    [
        *(("PNG", mode) for mode in ("RGB", "L", "P", "1")),
        *(("TIFF", mode) for mode in ("RGB", "L", "P", "1", "CMYK")),
        *(("BMP", mode) for mode in ("RGB", "L", "P", "1")),
        *(("GIF", mode) for mode in ("L", "P", "1")),
    ],
)
def test_other_photos_are_as_pillow_converts_them(form: str, mode: str) -> None:
    image = Image.fromarray(COLOURS).convert(mode)
    assert np.array_equal(decoded(saved(image, form)), np.asarray(image.convert("RGB")))


def test_what_is_transparent_lies_on_white() -> None:
    colours = np.array([[[250, 0, 10, 0], [250, 0, 10, 51], [250, 0, 10, 255]]], np.uint8)
    expected = [[[255, 255, 255], [254, 204, 206], [250, 0, 10]]]
    for form in ("PNG", "TIFF", "WEBP"):
        options = {"lossless": True, "exact": True} if form == "WEBP" else {}
        assert decoded(saved(Image.fromarray(colours), form, **options)).tolist() == expected
    grey = Image.fromarray(colours[:, :, 2:])
    assert decoded(saved(grey, "PNG")).tolist() == [[[255] * 3, [206] * 3, [10] * 3]]


def test_a_colour_may_be_transparent() -> None:
    red, blue = bytes([250, 0, 0]), bytes([0, 0, 9])
    content = png(2, 8, red + blue, 2, transparent=struct.pack(">3H", *red))
    assert decoded(content).tolist() == [[[255] * 3, list(blue)]]
    assert decoded(png(0, 8, b"\x05\x07", 2, transparent=b"\0\x05")).tolist() == [[[255] * 3, [7] * 3]]
    image = Image.frombytes("P", (3, 1), bytes([0, 1, 2]))
    image.putpalette([*red, *blue, 8, 8, 8])
    content = saved(image, "PNG", transparency=bytes([0, 255, 255]))
    assert decoded(content).tolist() == [[[255] * 3, list(blue), [8] * 3]]
    assert decoded(saved(image, "GIF", transparency=0))[0, 0].tolist() == [255] * 3


def test_opaque_colours_stay_as_they_are() -> None:
    image = Image.fromarray(np.arange(2**8 * 3, dtype=np.uint8).reshape(8, 32, 3))
    assert np.array_equal(decoded(saved(image.convert("RGBA"), "PNG")), np.asarray(image))


# The EXIF standard: where the first row and the first column of the stored pixels are seen.
SEEN = {
    1: lambda stored: stored,  # row top, column left
    2: lambda stored: stored[:, ::-1],  # top, right
    3: lambda stored: stored[::-1, ::-1],  # bottom, right
    4: lambda stored: stored[::-1],  # bottom, left
    5: lambda stored: stored.swapaxes(0, 1),  # left, top
    6: lambda stored: stored.swapaxes(0, 1)[:, ::-1],  # right, top
    7: lambda stored: stored.swapaxes(0, 1)[::-1, ::-1],  # right, bottom
    8: lambda stored: stored.swapaxes(0, 1)[::-1],  # left, bottom
}


@pytest.mark.parametrize(("orientation", "seen"), SEEN.items())
@pytest.mark.parametrize("form", ["PNG", "TIFF", "TIFF compressed", "JPEG", "MPO", "WEBP"])
def test_photos_are_turned_upright(orientation: int, seen, form: str) -> None:
    blocks = np.repeat(np.repeat(COLOURS[:2, :3], 16, axis=0), 16, axis=1)
    exif = Image.Exif()
    exif[274] = orientation
    kind, _, compressed = form.partition(" ")
    finest = {"quality": 100, "subsampling": 0}
    options = {
        "JPEG": finest,
        "MPO": {**finest, "save_all": True, "append_images": [Image.new("RGB", (8, 8))]},  # of phones
        "WEBP": {"lossless": True},
        "TIFF": {"compression": "tiff_lzw"} if compressed else {},
    }
    content = saved(Image.fromarray(blocks), kind, exif=exif, **options.get(kind, {}))
    found, expected = decoded(content), seen(blocks)
    assert found.shape == expected.shape
    assert np.abs(found.astype(int) - expected).max() <= (3 if kind in ("JPEG", "MPO") else 0)


def test_grey_of_16_bits_is_turned_too() -> None:
    exif = Image.Exif()
    exif[274] = 6
    for form in ("PNG", "TIFF"):
        found = decoded(saved(Image.fromarray(GREY_16[:, :8]), form, exif=exif))
        assert np.array_equal(found[:, :, 0], np.round(GREY_16[:, :8].T[:, ::-1] / 257))


def test_damaged_exif_data_turn_nothing() -> None:
    image, no_such = Image.fromarray(COLOURS), Image.Exif()
    no_such[274] = 9
    for data in (no_such.tobytes(), b"Exif\0\0", b"Exif\0\0no tiff at all", b"Exif\0\0MM\0*\0\0\0\x08\xff"):
        content = saved(image, "JPEG", exif=data, quality=100)
        assert np.array_equal(decoded(content), decoded(saved(image, "JPEG", quality=100)))


@pytest.mark.parametrize("form", ["GIF", "PNG", "TIFF", "WEBP"])
def test_the_first_of_several_pictures(form: str) -> None:
    red, blue = (Image.new("RGB", (4, 4), colour) for colour in ((255, 0, 0), (0, 0, 255)))
    options = {"lossless": True} if form == "WEBP" else {}
    content = saved(red, form, save_all=True, append_images=[blue], **options)
    assert decoded(content).reshape(-1, 3).tolist() == [[255, 0, 0]] * 16


def test_photos_that_cannot_be_decoded() -> None:
    jpeg = saved(Image.fromarray(COLOURS), "JPEG")
    twelve_bits = bytearray(jpeg)
    twelve_bits[jpeg.index(b"\xff\xc0") + 4] = 12
    pixels = saved(Image.fromarray(COLOURS), "TIFF")
    contents = [b"", b"<!DOCTYPE html>", jpeg[:-40], bytes(twelve_bits), pixels[:-40], pixels[:12]]
    for content in contents:
        with pytest.raises(UserError, match=r"^x/a cannot be decoded as an image; restore it$"):
            decode_photo(content, "x/a")
    with pytest.raises(UserError, match=r"^x/a has more pixels than Pillow decodes; make it smaller$"):
        decode_photo(png(2, 8, b"", 2**30), "x/a")


def test_a_git_lfs_pointer() -> None:
    pointer = b"version https://git-lfs.github.com/spec/v1\noid sha256:0a\nsize 3\n"
    with pytest.raises(UserError, match=r"^x/a is a Git LFS pointer, .*`git lfs pull`$"):
        decode_photo(pointer, "x/a")
