"""Photos in uncompressed tar archives: looked up by name, decoded when asked for."""

import io
import tarfile
from pathlib import Path

from PIL import Image

from amad_bench.runtime.errors import UserError


class ImageArchive:
    """Names of all files in one tar; `open_image` decodes one. Used as a context manager."""

    def __init__(self, path: Path) -> None:
        self.path = path
        try:
            self._tar = tarfile.open(path, "r:")  # noqa: SIM115 - closed by __exit__
            self._members = {member.name: member for member in self._tar if member.isfile()}
        except FileNotFoundError:
            raise UserError(f"{path}: no such file; put the image archive there or set AMAD_DATA") from None
        except (tarfile.TarError, OSError) as error:
            raise UserError(f"{path}: no readable tar archive ({error}); restore it") from None

    def __enter__(self) -> "ImageArchive":
        return self

    def __exit__(self, *_: object) -> None:
        self._tar.close()

    def __contains__(self, name: str) -> bool:
        return name in self._members

    def open_image(self, name: str) -> Image.Image:
        """The decoded photo as RGB; UserError when its bytes are no image."""
        file = self._tar.extractfile(self._members[name])
        content = file.read() if file else b""
        try:
            with Image.open(io.BytesIO(content)) as image:
                return image.convert("RGB")
        except (OSError, ValueError, SyntaxError, Image.DecompressionBombError):
            raise UserError(
                f"{self.path}: {name} cannot be decoded as an image; restore the archive"
            ) from None
