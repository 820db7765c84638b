"""Where everything is written and read; all results stand below `results/` in the working directory."""

import os
from pathlib import Path

from amad_bench.runtime.errors import UserError

DEFAULT_CONFIG = Path("configs/default.yaml")
TEMPLATE = Path("paper/main.typ")
MANIFESTS = Path("configs/data")

_SOURCE_TREE = Path(__file__).resolve().parents[2]


def shipped(path: Path) -> Path:
    """A file or folder of the repository: the working directory's, if there, else the source tree's.

    The package of a wheel has no source tree: then it need not exist.
    """
    source = _SOURCE_TREE / path
    return source if source.exists() and not path.exists() else path


def results_dir() -> Path:
    return Path("results")


def runs_dir() -> Path:
    return results_dir() / "runs"


def run_dir(run_id: str) -> Path:
    return runs_dir() / run_id


def tables_dir() -> Path:
    return results_dir() / "tables"


def figures_dir() -> Path:
    return results_dir() / "figures"


def data_dir(name: str, data_hash: str) -> Path:
    """Folder of one data set's generated and prepared files; the first eight digits of its hash name it."""
    return results_dir() / "data" / f"{name}-{data_hash[:8]}"


def preparing_dirs() -> list[Path]:
    """The folders in which data are generated and prepared, under a temporary name first."""
    root = results_dir() / "data"
    return [root, *sorted(root.glob("*/prepared"))]


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


def prepared_marker(data_key: str) -> Path:
    """Says that the prepared form of a data set is there; what Snakemake watches."""
    return results_dir() / "data" / "prepared" / f"{data_key}.json"
