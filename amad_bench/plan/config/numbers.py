"""Types of the numbers that a config may say."""

from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field

from amad_bench.plan.limits import (
    LARGEST_LENGTH,
    LARGEST_NUMBER,
    LARGEST_SEED,
    LARGEST_SIZE,
    LARGEST_VOCABULARY,
    MOST_PARTS,
    MOST_RECORDS,
)

Positive = Annotated[float, Field(gt=0, le=LARGEST_NUMBER)]
NotNegative = Annotated[float, Field(ge=0, le=LARGEST_NUMBER)]
Count = Annotated[int, Field(ge=1, le=MOST_RECORDS)]
Size = Annotated[int, Field(ge=1, le=LARGEST_SIZE)]
Length = Annotated[int, Field(ge=1, le=LARGEST_LENGTH)]
Few = Annotated[int, Field(ge=1, le=MOST_PARTS)]
LayerIndex = Annotated[int, Field(ge=0, le=MOST_PARTS)]
Processes = Annotated[int, Field(ge=0, le=MOST_PARTS)]
Seed = Annotated[int, Field(ge=0, le=LARGEST_SEED)]
Vocabulary = Annotated[int, Field(ge=8, le=LARGEST_VOCABULARY)]


def _all_or_count(value: Any) -> Any:
    if value == "all" or (type(value) is int and 1 <= value <= MOST_RECORDS):
        return value
    raise ValueError(f"`all` or a whole number from 1 to {MOST_RECORDS:,}")


Examples = Annotated[int | Literal["all"], BeforeValidator(_all_or_count)]


def _auto_or_few(value: Any) -> Any:
    if value == "auto" or (type(value) is int and 1 <= value <= MOST_PARTS):
        return value
    raise ValueError(f"`auto` or a whole number from 1 to {MOST_PARTS:,}")


PerGpu = Annotated[Few | Literal["auto"], BeforeValidator(_auto_or_few)]
