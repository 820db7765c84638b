"""Ways to damage a file in place; each returns a function of the file's path."""

import gzip
from collections.abc import Callable
from pathlib import Path
from typing import Any

from tests.data.official_tree import edit_json, write_tar

Damage = Callable[[Path], object]


def bytes_of(change: Callable[[bytes], bytes]) -> Damage:
    return lambda path: path.write_bytes(change(path.read_bytes()))


def text_of(change: Callable[[str], str]) -> Damage:
    """Of a .gz: of what is in it."""

    def damage(path: Path) -> None:
        zipped = path.suffix == ".gz"
        content = gzip.decompress(path.read_bytes()) if zipped else path.read_bytes()
        changed = change(content.decode()).encode()
        path.write_bytes(gzip.compress(changed) if zipped else changed)

    return damage


def json_of(change: Callable[[Any], Any]) -> Damage:
    return lambda path: edit_json(path, change)


def first(key: str, **changes: Any) -> Damage:
    """Changes the first record of a list; ... removes a key."""

    def change(content: Any) -> None:
        record = content[key][0]
        record.update(changes)
        for name in [name for name, value in record.items() if value is ...]:
            del record[name]

    return json_of(change)


def added(key: str, **changes: Any) -> Damage:
    """Another record: the first one, changed."""
    return json_of(lambda content: content[key].append(content[key][0] | changes))


def without(key: str, *places: int) -> Damage:
    def change(content: Any) -> None:
        content[key] = [record for place, record in enumerate(content[key]) if place not in places]

    return json_of(change)


def replaced(put: Damage) -> Damage:
    def damage(path: Path) -> None:
        path.unlink()
        put(path)

    return damage


def packed(files: dict[str, bytes], mode: str = "w") -> Damage:
    return lambda path: write_tar(path, files, mode)
