"""Imports of large packages without a search for garbage, of which they leave none."""

import gc
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def many_imports() -> Iterator[None]:
    """A context for imports: neither they nor what is there already is looked at by a later search.

    torch and transformers are 400,000 objects: to look at them again and again as they come, and once more
    when the process ends, takes a third of the time in which a small run is no training.
    """
    searching = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        gc.freeze()
        if searching:
            gc.enable()
