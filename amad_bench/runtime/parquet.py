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


def read_long(path: Path, what_to_do: str) -> pd.DataFrame:
    """The same of a long table: texts become categories, lists stay Arrow's; in a third of the time."""
    try:
        with ParquetFile(path) as file:
            texts = [field.name for field in file.schema_arrow if "string" in str(field.type)]
        with ParquetFile(path, read_dictionary=texts) as file:
            return file.read().to_pandas(types_mapper=_lists_as_they_are)
    except (OSError, ValueError) as error:
        raise UserError(f"{path}: no readable parquet file ({error}); {what_to_do}") from None


def _lists_as_they_are(kind: pa.DataType) -> pd.ArrowDtype | None:
    return pd.ArrowDtype(kind) if pa.types.is_list(kind) else None


def read_arrow(path: Path, what_to_do: str) -> pa.Table:
    """The same as Arrow's table: of many small files, a third of the time."""
    try:
        with ParquetFile(path) as file:
            return file.read()
    except (OSError, ValueError) as error:
        raise UserError(f"{path}: no readable parquet file ({error}); {what_to_do}") from None
