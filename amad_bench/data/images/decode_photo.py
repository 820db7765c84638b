"""A photo's bytes as the colours that a person sees.

It is turned as its EXIF data say, as by the usual detector of VL-T5's features (BLIP's own code does not
turn); boxes are those of the turned photo. Grey of 16 bits becomes grey of 8; what is transparent lies on
white; of several pictures in a file (GIF, APNG, TIFF) the first counts. Colour profiles (ICC, gamma) are
ignored, as in the code of both models.
"""

import io
import warnings

import numpy as np
from PIL import ExifTags, Image
from PIL.Image import Transpose
from PIL.TiffImagePlugin import TiffImageFile

from amad_bench.runtime.errors import UserError
from amad_bench.runtime.files import LFS_POINTER, lfs_pointer

_TURNS = {
    2: Transpose.FLIP_LEFT_RIGHT,
    3: Transpose.ROTATE_180,
    4: Transpose.FLIP_TOP_BOTTOM,
    5: Transpose.TRANSPOSE,
    6: Transpose.ROTATE_270,
    7: Transpose.TRANSVERSE,
    8: Transpose.ROTATE_90,
}
_TIFF_BITS, _TIFF_ZERO = 258, 262  # tags: bits of a value; 1 where 0 is black


def decode_photo(content: bytes, where: str) -> Image.Image:
    """RGB. UserErrors begin with `where`: no image, too large for Pillow, colours without a known range."""
    if lfs_pointer(content):
        raise UserError(f"{where} is {LFS_POINTER}")
    with warnings.catch_warnings(action="ignore"):  # of damaged EXIF data, of large photos
        image = _loaded(content, where)
        turn = _TURNS.get(_orientation(image))
    if image.mode.startswith(("I", "F")):
        image = _grey_of_8_bits(image, where)
    if image.has_transparency_data:
        white = Image.new("RGBA", image.size, "white")
        image = Image.alpha_composite(white, image.convert("RGBA"))
    image = image.convert("RGB")
    return image if turn is None else image.transpose(turn)


def _loaded(content: bytes, where: str) -> Image.Image:
    try:
        image = Image.open(io.BytesIO(content))
        image.load()
    except Image.DecompressionBombError:
        raise UserError(f"{where} has more pixels than Pillow decodes; make it smaller") from None
    except Exception:  # of Pillow's many formats: damaged bytes raise almost any
        raise UserError(f"{where} cannot be decoded as an image; restore it") from None
    return image


def _orientation(image: Image.Image) -> int:
    """Orientation 1 to 8; 1, upright, where no viewer could read it either. A TIFF turns when loaded."""
    try:
        return image.getexif().get(ExifTags.Base.Orientation, 1)
    except Exception:  # of damaged EXIF data in a whole photo
        return 1


def _grey_of_8_bits(image: Image.Image, where: str) -> Image.Image:
    """x / 257, rounded; UserError unless black and white are known to be 0 and 65535."""
    known = image.format in ("PNG", "JPEG2000")
    if isinstance(image, TiffImageFile):
        known = (image.tag_v2.get(_TIFF_BITS), image.tag_v2.get(_TIFF_ZERO)) == ((16,), 1)
    if not (known and image.mode.startswith("I;16")) or image.has_transparency_data:
        raise UserError(
            f"{where} has grey values of mode {image.mode} ({image.format}), whose black and white are not"
            " known; save it with 8 bits"
        )
    grey = np.asarray(image).astype(np.uint32)
    return Image.fromarray(((grey + 128) // 257).astype(np.uint8))
