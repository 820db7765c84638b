"""Photos in folders or uncompressed tar archives: looked up by name, read and decoded when asked for."""

import os
import tarfile
import unicodedata
from collections.abc import Sequence
from functools import cached_property
from pathlib import Path

from PIL import Image

from amad_bench.data.formats.records import RESTORE
from amad_bench.data.images.decode_photo import decode_photo
from amad_bench.runtime.errors import UserError
from amad_bench.runtime.filehash import data_entries, is_junk
from amad_bench.runtime.files import refuse_lfs_pointer

_Place = tuple[Path, int, int] | Path  # archive, start and length; or the file itself


class Photos:
    """The photos below `bases`: each a folder of files or, with ".tar" appended, an archive of such files.

    Nothing is opened before it is needed. A context manager, because it keeps its archives open. Processes
    may share one: an archive is read at explicit positions, and a pickled copy opens its own.
    UserErrors name the archive or file: missing, unreadable, no uncompressed tar, a photo that is no image.
    """

    def __init__(self, bases: Sequence[Path]) -> None:
        self.bases = tuple(bases)
        self._handles: dict[Path, int] = {}

    def __enter__(self) -> "Photos":
        return self

    def __exit__(self, *_: object) -> None:
        while self._handles:
            os.close(self._handles.popitem()[1])

    def __getstate__(self) -> dict[str, object]:
        return {**self.__dict__, "_handles": {}}

    def __contains__(self, name: str) -> bool:
        return _composed(name) in self._places

    @property
    def names(self) -> list[str]:
        return sorted(self._places)

    def open_image(self, name: str) -> Image.Image:
        """The photo as RGB, see `decode_photo`; UserError when it is not there or cannot be decoded."""
        place = self._places.get(_composed(name))
        if place is None:
            raise UserError(f"{' or '.join(map(str, self.bases))}: no photo {name}; add it")
        where = str(place) if isinstance(place, Path) else f"{place[0]}: {name}"
        return decode_photo(self._content(place), where)

    @cached_property
    def _places(self) -> dict[str, _Place]:
        """Place of each photo; of two with the same name in different bases the first base's counts."""
        places: dict[str, _Place] = {}
        for base in self.bases:
            places = _places(base) | places
        return places

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
        places: dict[str, _Place] = {}
        try:
            for entry in data_entries(base):
                _add(places, entry.name, base / entry.name, base)
            return places
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
        refuse_lfs_pointer(archive)
        raise UserError(
            f"{archive}: no readable uncompressed tar archive ({error}); restore or unpack it"
        ) from None


def _tar_places(archive: Path) -> dict[str, _Place]:
    places: dict[str, _Place] = {}
    end = 0
    with tarfile.open(archive, "r:") as tar:
        for member in tar:
            end = member.offset_data + -(-member.size // tarfile.BLOCKSIZE) * tarfile.BLOCKSIZE
            name = member.name.removeprefix("./")
            if not member.isfile() or any(map(is_junk, name.split("/"))):
                continue
            if "/" in name:
                raise UserError(f"{archive}: {name} lies in a folder; pack the photos without their folder")
            _add(places, name, (archive, member.offset_data, member.size), archive)
    # tarfile takes a cut in the middle of a header for the end; but an archive ends in empty blocks.
    with archive.open("rb") as file:
        file.seek(end)
        if file.read(tarfile.BLOCKSIZE) != bytes(tarfile.BLOCKSIZE):
            raise tarfile.ReadError("unexpected end of data")
    return places


def _add(places: dict[str, _Place], name: str, place: _Place, base: Path) -> None:
    if _composed(name) in places:
        raise UserError(f"{base}: {name} is there twice; {RESTORE}")
    places[_composed(name)] = place


def _composed(name: str) -> str:
    """A Mac may write the letter é of a file's name as e and an accent, other systems do not."""
    return unicodedata.normalize("NFC", name)
