"""Photos by the number that their name ends in: COCO_test2015_000000000001.jpg is image 1."""

import re
from collections.abc import Iterable
from pathlib import PurePath

from amad_bench.runtime.errors import UserError

_LAST_NUMBER = re.compile(r"(\d+)\D*$")


class NumberedPhotos:
    """Names of photos by image id. place: of the photos, for messages."""

    def __init__(self, names: Iterable[str], place: object) -> None:
        self._place = place
        self._names: dict[int, list[str]] = {}
        for name in names:
            if found := _LAST_NUMBER.search(PurePath(name).stem):
                self._names.setdefault(int(found[1]), []).append(name)

    def name(self, image_id: int, where: str) -> str:
        """The only photo of that number; a UserError that begins with `where` for none or several."""
        names = self._names.get(image_id, [])
        if len(names) == 1:
            return names[0]
        found = f"{' and '.join(sorted(names)[:2])} have" if names else "none has"
        raise UserError(
            f"{where}: one photo in {self._place} must have {image_id} as its name's last number, {found}; "
            "add or move photos"
        )
