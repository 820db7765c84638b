"""Photos in folders or uncompressed tar archives: looked up by name, read and decoded when asked for."""

import io
import os
import tarfile
from collections.abc import Sequence
from pathlib import Path

from PIL import Image

from amad_bench.data.records import RESTORE
from amad_bench.runtime.errors import UserError

_Place = tuple[Path, int, int] | Path  # archive, start and length; or the file itself


class Photos:
    """The photos below `bases`: each a folder of files or, with ".tar" appended, an archive of such files.

    Nothing is opened before it is needed. A context manager, because it keeps its archives open. Processes
    may share one: an archive is read at explicit positions, and a pickled copy opens its own.
    UserErrors name the archive or file: missing, unreadable, no uncompressed tar, a photo that is no image.
    """

    def __init__(self, bases: Sequence[Path]) -> None:
        self.bases = tuple(bases)
        self._places: dict[str, _Place] | None = None
        self._handles: dict[Path, int] = {}

    def __enter__(self) -> "Photos":
        return self

    def __exit__(self, *_: object) -> None:
        while self._handles:
            os.close(self._handles.popitem()[1])

    def __getstate__(self) -> dict[str, object]:
        return {"bases": self.bases, "_places": self._places, "_handles": {}}

    def __contains__(self, name: str) -> bool:
        return name in self._index()

    @property
    def names(self) -> list[str]:
        return sorted(self._index())

    def open_image(self, name: str) -> Image.Image:
        """The decoded photo as RGB; UserError when it is not there or its bytes are no image."""
        place = self._index().get(name)
        if place is None:
            raise UserError(f"{' or '.join(map(str, self.bases))}: no photo {name}; add it")
        where = place if isinstance(place, Path) else f"{place[0]}: {name}"
        content = self._content(place)
        try:
            with Image.open(io.BytesIO(content)) as image:
                return image.convert("RGB")
        except (OSError, ValueError, SyntaxError, Image.DecompressionBombError):
            raise UserError(f"{where} cannot be decoded as an image; restore it") from None

    def _index(self) -> dict[str, _Place]:
        """Where each photo is; of two with the same name in different bases the first base's counts."""
        if self._places is None:
            places: dict[str, _Place] = {}
            for base in self.bases:
                places = _places(base) | places
            self._places = places
        return self._places

    def _content(self, place: _Place) -> bytes:
        try:
            if isinstance(place, Path):
                return place.read_bytes()
            archive, start, length = place
            if archive not in self._handles:
                self._handles[archive] = os.open(archive, os.O_RDONLY | os.O_CLOEXEC)
            return os.pread(self._handles[archive], length, start)
        except OSError as error:
            path = place if isinstance(place, Path) else place[0]
            raise UserError(f"{path}: cannot be read ({error.strerror}); restore it") from None


def _places(base: Path) -> dict[str, _Place]:
    if base.is_dir():
        try:
            return {path.name: path for path in base.iterdir()}
        except OSError as error:
            raise UserError(f"{base}: cannot be listed ({error.strerror}); make it readable") from None
    archive = base.with_name(f"{base.name}.tar")
    try:
        return _tar_places(archive)
    except FileNotFoundError:
        raise UserError(
            f"{archive}: no such file, and {base} is no folder; put the photos into one of the two"
        ) from None
    except (tarfile.TarError, OSError) as error:
        raise UserError(
            f"{archive}: no readable uncompressed tar archive ({error}); restore or unpack it"
        ) from None


def _tar_places(archive: Path) -> dict[str, _Place]:
    places: dict[str, _Place] = {}
    end = 0
    with tarfile.open(archive, "r:") as tar:
        for member in tar:
            end = member.offset_data + -(-member.size // tarfile.BLOCKSIZE) * tarfile.BLOCKSIZE
            if not member.isfile():
                continue
            if "/" in member.name:
                raise UserError(
                    f"{archive}: {member.name} lies in a folder; pack the photos without their folder"
                )
            if member.name in places:
                raise UserError(f"{archive}: {member.name} is there twice; {RESTORE}")
            places[member.name] = (archive, member.offset_data, member.size)
    # tarfile takes a cut in the middle of a header for the end; but an archive ends in empty blocks.
    with archive.open("rb") as file:
        file.seek(end)
        if file.read(tarfile.BLOCKSIZE) != bytes(tarfile.BLOCKSIZE):
            raise tarfile.ReadError("unexpected end of data")
    return places
