"""Entries of a config's `datasets`: known data sets with their options, and data of one's own."""

from collections.abc import Iterator, Mapping
from typing import Annotated, Any, Self

from pydantic import AfterValidator, Discriminator, Field, Tag, model_validator

from amad_bench.plan.catalogue import DATASETS, FORMATS, SPLITS
from amad_bench.plan.config.base import Closed, Label, Open, PathBelow, Problems, distinct, known
from amad_bench.plan.config.numbers import Count
from amad_bench.plan.shown import shown, unknown
from amad_bench.runtime.errors import did_you_mean
from amad_bench.runtime.run_folder.predictions import CONTROLS

LONGEST_LABEL = 60  # characters; of a name; more do not fit into a table

SplitName = Annotated[str, Field(pattern=r"^[A-Za-z0-9_]+$")]


class Limit(Closed):
    """The number of examples of each split that are used."""

    train: Count = Field(description="examples of the training split")
    validation: Count = Field(description="examples of the validation split")
    test: Count = Field(description="examples of each test split; a smaller further one is used whole")


_LIMIT = Field(default=None, description="how many examples are used; left out: all")
_FEATURES = Field(
    default=None,
    description="files below AMAD_DATA with precomputed features of regions (.h5, folders of .npz)",
)
Features = Annotated[list[PathBelow], Field(min_length=1)] | None


class DatasetEntry(Open):
    """A data set with its options, which the catalogue knows by its name."""

    limit: Limit | None = _LIMIT
    features: Features = _FEATURES


def _without_tar(path: str) -> str:
    base = path.removesuffix(".tar").rstrip("/")
    if not base:
        raise ValueError("a folder or the name of a .tar archive")
    return base


class OwnDataset(Open):
    """Data of one's own, in files of a known layout; `docs/data.md` shows an example."""

    format: Annotated[str, known("format", FORMATS)] = Field(
        description=f"layout of the files: {', '.join(FORMATS)}"
    )
    files: dict[SplitName, dict[str, PathBelow]] = Field(
        description="by split, by role, below AMAD_DATA: train, test and, if any, validation and more tests"
    )
    photos: Annotated[list[Annotated[PathBelow, AfterValidator(_without_tar)]], AfterValidator(distinct)] = (
        Field(default=[], description="folders of photos, or uncompressed .tar archives of them")
    )
    limit: Limit | None = _LIMIT
    features: Features = _FEATURES

    @model_validator(mode="after")
    def _fits(self) -> Self:
        if problems := [*self._splits(), *self._roles()]:
            raise Problems(problems)
        return self

    def _splits(self) -> Iterator[str]:
        for split in ("train", "test"):
            if split not in self.files:
                yield f".files.{split}: missing; name its files"
        for split in self.files:
            if len(split) > LONGEST_LABEL:
                yield f".files.{split}: expected at most {LONGEST_LABEL} characters, found {len(split)}"
            if split != split.lower():  # some file systems do not tell them apart
                yield f".files.{split}: write the names of splits in small letters: {split.lower()}"
            if split.endswith(CONTROLS):
                endings = " and ".join(CONTROLS)
                yield f".files.{split}: {endings} end the names of controls; choose another name"

    def _roles(self) -> Iterator[str]:
        layout = FORMATS[self.format]
        possible = (*layout.roles, *layout.optional)
        for split, paths in self.files.items():
            for role in paths:
                if role not in possible:
                    yield f".files.{split}.{role}: {unknown(f'file of {layout.name}', role, possible)}"
            for role in layout.roles:
                if role not in paths:
                    yield f".files.{split}.{role}: missing; `{layout.name}` needs it"


def options_of(name: str, entry: DatasetEntry | OwnDataset) -> dict[str, Any]:
    """All options of a data set, defaults filled in; of data of one's own with `format`, files and photos."""
    if isinstance(entry, DatasetEntry):
        return DATASETS[name].complete(entry.given)
    splits = [*SPLITS, *sorted(set(entry.files).difference(SPLITS))]
    files = {split: entry.files[split] for split in splits if split in entry.files}
    layout = {"format": entry.format, "files": files, "photos": entry.photos}
    return layout | FORMATS[entry.format].complete(entry.given)


def _kind(value: Any) -> str:
    own = isinstance(value, OwnDataset) or (isinstance(value, Mapping) and "format" in value)
    return "own" if own else "known"


def _named(entries: dict[str, DatasetEntry | OwnDataset]) -> dict[str, DatasetEntry | OwnDataset]:
    if problems := list(_problems_of_names(entries)):
        raise Problems(problems)
    return entries


def _problems_of_names(entries: dict[str, DatasetEntry | OwnDataset]) -> Iterator[str]:
    taken = {word.lower(): of.name for of in DATASETS.values() for word in (of.name, of.label)}
    for name, entry in entries.items():
        alike = [other for other in entries if other != name and other.lower() == name.lower()]
        if isinstance(entry, OwnDataset):
            if name.lower() in taken:
                yield f".{name}: the name of a known data set ({taken[name.lower()]}); choose another name"
            elif alike:  # some file systems do not tell their folders apart
                yield f".{name}: differs from {alike[0]} in capital letters only; choose another name"
            elif len(name) > LONGEST_LABEL:
                yield f".{name}: expected at most {LONGEST_LABEL} characters, found {len(name)}"
        elif name not in DATASETS:
            meant = did_you_mean(name, DATASETS) or f" Known: {', '.join(DATASETS)}."
            yield f".{name}: unknown data set {shown(name)}.{meant} Data of your own need the key `format`"


Datasets = Annotated[
    dict[
        Label,
        Annotated[
            Annotated[DatasetEntry, Tag("known")] | Annotated[OwnDataset, Tag("own")], Discriminator(_kind)
        ],
    ],
    AfterValidator(_named),
]
