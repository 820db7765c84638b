"""Layouts of files for data of one's own, which a config describes instead of a record."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from amad_bench.plan.catalogue.datasets import DATASETS, SPLITS, Dataset, Options
from amad_bench.plan.catalogue.options import OptionSpec, WithOptions, by_name


@dataclass(frozen=True)
class Format(WithOptions):
    """A layout: the task of its files, the roles of those of each split, its options.

    `optional`: roles that a split may lack.
    """

    name: str
    task: str
    roles: tuple[str, ...]
    optional: tuple[str, ...] = ()
    options: Mapping[str, OptionSpec] = field(default_factory=dict[str, OptionSpec])
    version: int = 1


FORMATS: dict[str, Format] = by_name(
    Format(
        "vqa",
        "vqa",
        ("questions", "annotations"),
        options={
            "answers": OptionSpec(
                str,
                "several",
                ("several", "one"),
                description="to each question: ten (scored by vqa_accuracy) or one (exact_match)",
            ),
            "image_name": OptionSpec(
                str,
                "",
                description="file name of a photo with its `{image_id}`, or `{image_id:012}` for 12 digits",
            ),
        },
    ),
    Format("captions", "captioning", ("captions",)),
    Format(
        "sentences",
        "translation",
        ("source", "target"),
        ("images",),
        {
            "language": OptionSpec(
                str, "", description="that English is translated into, in English (German): VL-T5's prompt"
            )
        },
    ),
)


def record_of(name: str, options: Options) -> Dataset:
    """The record of a known data set or, where `options` have a `format`, of one's own data."""
    if "format" not in options:
        return DATASETS[name]
    known = FORMATS[options["format"]]
    return Dataset(
        name,
        name,
        (known.task,),
        _own_files,
        _own_photos,
        known.options,
        str(options.get("answers", "")),
        _own_language,
        tests=_own_tests,
        format=known.name,
        version=known.version,
    )


def label_of(dataset: str) -> str:
    """Name of a data set for people; data of one's own are called as the config calls them."""
    return DATASETS[dataset].label if dataset in DATASETS else dataset


def own_role(role: str, split: str) -> str:
    """Role of a file among those of all splits."""
    return f"{role}_{split}"


def _own_files(_: str, options: Options) -> dict[str, str]:
    return {
        own_role(role, split): path
        for split, paths in options["files"].items()
        for role, path in paths.items()
    }


def _own_photos(options: Options) -> dict[str, str]:
    return {f"photos_{number}": base for number, base in enumerate(options["photos"])}


def _own_language(options: Options) -> str:
    return str(options.get("language", ""))


def _own_tests(options: Options) -> tuple[str, ...]:
    return ("test", *(split for split in options["files"] if split not in SPLITS))
