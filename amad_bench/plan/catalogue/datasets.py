"""Data sets: what they can be used for, what they are read from, how they are scored."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from amad_bench.plan.catalogue.options import OptionSpec, WithOptions, by_name
from amad_bench.plan.limits import LARGEST_SEED, MOST_IMAGES

Options = Mapping[str, Any]
MULTI30K_TESTS = ("test_2016_flickr", "test_2017_flickr", "test_2017_mscoco", "test_2018_flickr")
KARPATHY = "coco/dataset_coco.json"
ANSWER_FILE = "vqa-v2/trainval_ans2label.json"


def _always(*paths: str) -> Callable[..., tuple[str, ...]]:
    return lambda *_: paths


_NONE = _always()


@dataclass(frozen=True)
class Dataset(WithOptions):
    """A data set; all its paths are relative to AMAD_DATA.

    `texts`: the files with the records of a task, None for a generated data set. `photos`: bases of its
    photos, each a folder of images or, with ".tar" appended, an uncompressed archive. `options` shape the
    data; `answers`: human ones that a question has, "several" or "one", "" without questions; `has_boxes`: it
    comes with true boxes, so that `boxes: file` is possible, and says what is in them (VL-T5's grounding
    tasks).
    """

    name: str
    label: str
    tasks: tuple[str, ...]
    texts: Callable[[str, Options], tuple[str, ...]] | None = None
    photos: Callable[[Options], tuple[str, ...]] = _NONE
    options: Mapping[str, OptionSpec] = field(default_factory=dict[str, OptionSpec])
    answers: str = ""
    has_boxes: bool = False
    version: int = 1

    @property
    def pretrains(self) -> bool:
        """True where models can be pre-trained on it: on its captions and questions."""
        return {"vqa", "captioning"} <= set(self.tasks)

    @property
    def generated(self) -> bool:
        return self.texts is None


def _multi30k_texts(_: str, options: Options) -> tuple[str, ...]:
    splits = ("train", "val", *options["tests"])
    joined = [split for split in splits if split in ("train", "val", "test_2016_flickr")]
    return (
        *(
            f"multi30k/raw/{split}.{language}.gz"
            for split in splits
            for language in ("en", options["language"])
        ),
        *(f"multi30k/image_splits/{split}.txt" for split in splits),
        *(f"multi30k/join_flickr8k/{split}.tsv" for split in joined if options["photos"] == "flickr8k"),
    )


def _multi30k_photos(options: Options) -> tuple[str, ...]:
    bases = {"flickr8k": ("flickr8k/images_112",), "flickr30k": ("flickr30k/images",), "none": ()}
    return bases[options["photos"]]


def _vqa_v2_texts(_: str, options: Options) -> tuple[str, ...]:
    return (
        *(f"vqa-v2/v2_OpenEnded_mscoco_{part}2014_questions.json" for part in ("train", "val")),
        *(f"vqa-v2/v2_mscoco_{part}2014_annotations.json" for part in ("train", "val")),
        KARPATHY,
        *((ANSWER_FILE,) if options["answers"] == "file" else ()),
    )


def _coco_mini_texts(task: str, _: Options) -> tuple[str, ...]:
    if task == "captioning":
        return ("coco-mini/captions.json",)
    return ("coco-mini/vqa_v2_questions.json", "coco-mini/vqa_v2_annotations.json")


def _questions_and_annotations(pattern: str) -> Callable[..., tuple[str, ...]]:
    return _always(
        *(pattern.format(what, part) for what in ("questions", "annotations") for part in ("train", "test"))
    )


_COCO_PHOTOS = _always("coco/images/train2014", "coco/images/val2014")
_SUBSET = OptionSpec(
    bool,
    False,
    description="whether files may hold a part of the official records; else sizes are asserted",
)


def _generated(split: str, default: int) -> OptionSpec:
    return OptionSpec(
        int, default, minimum=1, maximum=MOST_IMAGES, description=f"images that are generated for {split}"
    )


DATASETS: dict[str, Dataset] = by_name(
    Dataset(
        "scenes",
        "Scenes",
        ("vqa", "captioning", "translation"),
        options={
            "train_images": _generated("training", 10000),
            "validation_images": _generated("validation", 250),
            "test_images": _generated("testing", 500),
            "seed": OptionSpec(
                int,
                0,
                minimum=0,
                maximum=LARGEST_SEED,
                description="that images and sentences are drawn from",
            ),
        },
        answers="several",
        has_boxes=True,
    ),
    Dataset(
        "vqa_v2",
        "VQA v2",
        ("vqa",),
        _vqa_v2_texts,
        _COCO_PHOTOS,
        {
            "answers": OptionSpec(
                str,
                "computed",
                ("computed", "file"),
                description="the 3,129 most common answers: computed, or read from VL-T5's file of them",
            ),
            "subset": _SUBSET,
        },
        answers="several",
    ),
    Dataset(
        "coco",
        "COCO",
        ("captioning",),
        _always(*(f"coco/annotations/captions_{part}2014.json" for part in ("train", "val")), KARPATHY),
        _COCO_PHOTOS,
        {"subset": _SUBSET},
    ),
    Dataset(
        "multi30k",
        "Multi30K",
        ("translation",),
        _multi30k_texts,
        _multi30k_photos,
        {
            "language": OptionSpec(str, "de", ("de", "fr"), description="translated into: German, French"),
            "tests": OptionSpec(
                list,
                ["test_2016_flickr"],
                MULTI30K_TESTS,
                description="test sets; the first one is `test`, others are scored beside it",
            ),
            "photos": OptionSpec(
                str,
                "flickr8k",
                ("flickr8k", "flickr30k", "none"),
                description="those of Flickr8k, for sentences that have one there; of Flickr30k; or none",
            ),
        },
        version=2,
    ),
    Dataset(
        "daquar",
        "DAQUAR",
        ("vqa",),
        _questions_and_annotations("daquar/{}_{}.json"),
        _always("daquar/images_112"),
        answers="one",
    ),
    Dataset(
        "flickr8k",
        "Flickr8k",
        ("captioning",),
        _always(
            "flickr8k/Flickr8k.token.txt",
            *(f"flickr8k/Flickr_8k.{part}Images.txt" for part in ("train", "dev", "test")),
        ),
        _always("flickr8k/images_112"),
    ),
    Dataset(
        "coco_mini",
        "COCO mini",
        ("vqa", "captioning"),
        _coco_mini_texts,
        _always("coco-mini/images_112"),
        answers="several",
    ),
    Dataset(
        "vqa_v2_subset",
        "VQA v2 subset",
        ("vqa",),
        _questions_and_annotations("vqa-v2-subset/{}_{}.json.gz"),
        _always("coco-mini/images_112"),
        answers="several",
    ),
)
