"""Files that are read: those that the repository ships, and the folder of the real data sets."""

import os
from pathlib import Path

from amad_bench.runtime.errors import UserError

DEFAULT_CONFIG = Path("configs/default.yaml")
PAPER_CORE = Path("configs/paper-core.yaml")
CLAIMS = Path("configs/claims.yaml")
TEMPLATE = Path("paper/main.typ")
PUBLISHED = Path("configs/published.csv")
MANIFESTS = Path("configs/data")

CAPTIONS = Path(__file__).resolve().parents[1] / "analysis" / "report" / "captions"  # of `snakemake --report`

_SOURCE_TREE = Path(__file__).resolve().parents[2]


def shipped(path: Path) -> Path:
    """A file or folder of the repository: the working directory's, if there, else the source tree's.

    The package of a wheel has no source tree: then it need not exist.
    """
    source = _SOURCE_TREE / path
    return source if source.exists() and not path.exists() else path


def amad_data() -> Path:
    """The folder with the real data sets, named by AMAD_DATA; UserError when that is unset or absent."""
    value = os.environ.get("AMAD_DATA", "")
    if not value:
        raise UserError(
            "AMAD_DATA is not set: real data sets are read from that folder; set AMAD_DATA=/path/to/data"
        )
    folder = Path(os.path.expanduser(value))  # Path.expanduser would raise where no home folder is known
    if not folder.is_dir():
        raise UserError(f"AMAD_DATA={value}: no such folder; set it to the folder that holds the data sets")
    return folder
