"""Reading of tables; apart from `files`, which needs no pandas."""

from pathlib import Path

import pandas as pd
import pyarrow as pa
from pyarrow.parquet import ParquetFile

from amad_bench.runtime.errors import UserError


def read_parquet(path: Path, what_to_do: str) -> pd.DataFrame:
    """The table in a file that is there; UserError where it is broken."""
    try:
        return pd.read_parquet(path, engine="pyarrow")
    except (OSError, ValueError) as error:
        raise UserError(f"{path}: no readable parquet file ({error}); {what_to_do}") from None


def read_arrow(path: Path, what_to_do: str) -> pa.Table:
    """The same as Arrow's table: of many small files, a third of the time."""
    try:
        with ParquetFile(path) as file:
            return file.read()
    except (OSError, ValueError) as error:
        raise UserError(f"{path}: no readable parquet file ({error}); {what_to_do}") from None
