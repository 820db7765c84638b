"""Seeds are hashes of named parts, never `base + i`: a new loss or head count moves no other run's seed."""

import hashlib
import json


def seed(*parts: str | int) -> int:
    """A seed in [0, 2**32), which every random generator accepts. Parts keep their type: 1 and "1" differ.

    TypeError for a part that is neither text nor a whole number (a float's text may change).
    """
    for part in parts:
        if type(part) not in (str, int):
            raise TypeError(f"a seed's parts are text or whole numbers, not {part!r}")
    digest = hashlib.sha256(json.dumps(parts).encode()).digest()
    return int.from_bytes(digest[:4], "big")
