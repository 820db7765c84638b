"""Data sets: what they can be used for, what they are read from, how they are scored."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from amad_bench.plan.catalogue.options import OptionSpec, WithOptions, by_name
from amad_bench.plan.limits import LARGEST_SEED, MOST_IMAGES

Options = Mapping[str, Any]
Files = Mapping[str, str]
SPLITS = ("train", "validation", "test")
COCO_PARTS = ("train2014", "val2014")  # COCO's own, each with a folder of images


def _always(files: Files) -> Callable[..., Files]:
    return lambda *_: files


def _one_test(_: Options) -> tuple[str, ...]:
    return ("test",)


@dataclass(frozen=True)
class Dataset(WithOptions):
    """A data set, read by the module of data/sources that is called as `reader` says.

    `files`: those with the records of a task, by role; the reader gets them by role, too. `photos`: bases of
    its photos by role, each a folder of images or, with ".tar" appended, an uncompressed archive. All paths
    are relative to AMAD_DATA or, of a `generated` data set, to the folder that its module writes. `options`
    shape the data; `tests`: names of its test sets, the first of which is the split "test"; `answers`: human
    ones that a question has, "several" or "one", "" without questions; `language`: that English is translated
    into, in English, "" without translations; `has_boxes`: it comes with true boxes, so that `boxes: file` is
    possible, and says what is in them (VL-T5's grounding tasks); `format`: of data of one's own, see
    formats.py; `sizes`: by task, as published, examples of training (at most; a caption is one), validation
    and each test, of a `generated` data set those of an image.
    """

    name: str
    label: str
    tasks: tuple[str, ...]
    files: Callable[[str, Options], Files]
    photos: Callable[[Options], Files] = field(default=_always({}))
    options: Mapping[str, OptionSpec] = field(default_factory=dict[str, OptionSpec])
    answers: str = ""
    language: Callable[[Options], str] = lambda _: ""
    has_boxes: bool = False
    generated: bool = False
    tests: Callable[[Options], tuple[str, ...]] = _one_test
    sizes: Mapping[str, tuple[int, int, int]] = field(default_factory=dict[str, tuple[int, int, int]])
    format: str = ""
    version: int = 1

    def train_examples(self, task: str, options: Options) -> int | None:
        """The most that a task has for training; None where only the files know."""
        if task not in self.sizes:
            return None
        return self.sizes[task][0] * (options["train_images"] if self.generated else 1)

    @property
    def pretrains(self) -> bool:
        """True where models can be pre-trained on it: on its captions and questions."""
        return {"vqa", "captioning"} <= set(self.tasks)

    @property
    def reader(self) -> str:
        """Name of the module."""
        return f"own_{self.format}" if self.format else self.name


def _scenes_files(task: str, _: Options) -> Files:
    patterns = {
        "vqa": {"questions": "questions_{}.json", "annotations": "annotations_{}.json"},
        "captioning": {"captions": "captions_{}.json"},
        "translation": {
            "source": "translation/{}.en",
            "target": "translation/{}.de",
            "images": "translation/{}_images.txt",
        },
    }[task]
    named = {f"{role}_{split}": path.format(split) for split in SPLITS for role, path in patterns.items()}
    return {**named, "boxes": "boxes.json"}


def _multi30k_files(_: str, options: Options) -> Files:
    splits = ("train", "val", *options["tests"])
    joined = [split for split in splits if split in ("train", "val", "test_2016_flickr")]
    sides = {"source": "en", "target": options["language"]}
    return {
        **{f"{side}_{name}": f"multi30k/raw/{name}.{sides[side]}.gz" for name in splits for side in sides},
        **{f"images_{name}": f"multi30k/image_splits/{name}.txt" for name in splits},
        **{
            f"join_{name}": f"multi30k/join_flickr8k/{name}.tsv"
            for name in joined
            if options["photos"] == "flickr8k"
        },
    }


def _multi30k_photos(options: Options) -> Files:
    bases = {"flickr8k": {"photos": "flickr8k/images_112"}, "flickr30k": {"photos": "flickr30k/images"}}
    return bases.get(options["photos"], {})


def _vqa_v2_files(_: str, options: Options) -> Files:
    return {
        **{f"questions_{part}": f"vqa-v2/v2_OpenEnded_mscoco_{part}_questions.json" for part in COCO_PARTS},
        **{f"annotations_{part}": f"vqa-v2/v2_mscoco_{part}_annotations.json" for part in COCO_PARTS},
        "split": _KARPATHY,
        **({"answers": "vqa-v2/trainval_ans2label.json"} if options["answers"] == "file" else {}),
    }


def _coco_mini_files(task: str, _: Options) -> Files:
    if task == "captioning":
        return {"captions": "coco-mini/captions.json"}
    return {
        "questions": "coco-mini/vqa_v2_questions.json",
        "annotations": "coco-mini/vqa_v2_annotations.json",
    }


def _questions_and_annotations(pattern: str) -> Callable[..., Files]:
    return _always(
        {
            f"{what}_{part}": pattern.format(what, part)
            for what in ("questions", "annotations")
            for part in ("train", "test")
        }
    )


_LANGUAGES = {"de": "German", "fr": "French"}
_KARPATHY = "coco/dataset_coco.json"
_COCO_PHOTOS = _always({f"photos_{part}": f"coco/images/{part}" for part in COCO_PARTS})
_COCO_MINI_PHOTOS = _always({"photos": "coco-mini/images_112"})
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
        _scenes_files,
        _always({f"photos_{split}": f"images_{split}" for split in SPLITS}),
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
        language=lambda _: "German",
        has_boxes=True,
        generated=True,
        sizes={"vqa": (4, 4, 4), "captioning": (5, 1, 1), "translation": (2, 2, 2)},
    ),
    Dataset(
        "vqa_v2",
        "VQA v2",
        ("vqa",),
        _vqa_v2_files,
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
        sizes={"vqa": (605_102, 26_729, 26_280)},
    ),
    Dataset(
        "coco",
        "COCO",
        ("captioning",),
        _always(
            {
                **{f"captions_{part}": f"coco/annotations/captions_{part}.json" for part in COCO_PARTS},
                "split": _KARPATHY,
            }
        ),
        _COCO_PHOTOS,
        {"subset": _SUBSET},
        sizes={"captioning": (566_747, 5_000, 5_000)},
    ),
    Dataset(
        "multi30k",
        "Multi30K",
        ("translation",),
        _multi30k_files,
        _multi30k_photos,
        {
            "language": OptionSpec(
                str, "de", tuple(_LANGUAGES), description=f"translated into: {', '.join(_LANGUAGES.values())}"
            ),
            "tests": OptionSpec(
                list,
                ["test_2016_flickr"],
                ("test_2016_flickr", "test_2017_flickr", "test_2017_mscoco", "test_2018_flickr"),
                description="test sets; the first one is `test`, others are scored beside it",
            ),
            "photos": OptionSpec(
                str,
                "flickr8k",
                ("flickr8k", "flickr30k", "none"),
                description="those of Flickr8k, for sentences that have one there; of Flickr30k; or none",
            ),
        },
        language=lambda options: _LANGUAGES[options["language"]],
        tests=lambda options: tuple(options["tests"]),
        sizes={"translation": (29_000, 1_014, 1_000)},
        version=2,
    ),
    Dataset(
        "daquar",
        "DAQUAR",
        ("vqa",),
        _questions_and_annotations("daquar/{}_{}.json"),
        _always({"photos": "daquar/images_112"}),
        answers="one",
        sizes={"vqa": (6_795, 680, 5_673)},
    ),
    Dataset(
        "flickr8k",
        "Flickr8k",
        ("captioning",),
        _always(
            {
                "captions": "flickr8k/Flickr8k.token.txt",
                "images_train": "flickr8k/Flickr_8k.trainImages.txt",
                "images_validation": "flickr8k/Flickr_8k.devImages.txt",
                "images_test": "flickr8k/Flickr_8k.testImages.txt",
            }
        ),
        _always({"photos": "flickr8k/images_112"}),
        sizes={"captioning": (30_000, 1_000, 1_000)},
    ),
    Dataset(
        "coco_mini",
        "COCO mini",
        ("vqa", "captioning"),
        _coco_mini_files,
        _COCO_MINI_PHOTOS,
        answers="several",
    ),
    Dataset(
        "vqa_v2_subset",
        "VQA v2 subset",
        ("vqa",),
        _questions_and_annotations("vqa-v2-subset/{}_{}.json.gz"),
        _COCO_MINI_PHOTOS,
        answers="several",
        sizes={"vqa": (48_061, 4_806, 2_962)},
    ),
)
