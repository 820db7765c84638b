"""What is damaged in the tiny official files of official_tree.py, and what the message must say of it."""

from pathlib import Path

from amad_bench.plan.run_config import UsedDataset
from tests.data.damage import Damage, added, bytes_of, first, json_of, packed, replaced, text_of, without
from tests.data.official_tree import COCO, MULTI30K, VQA, answers, file_name, jpeg, write_json
from tests.planned import planned_dataset

FROM_FILE = planned_dataset("vqa_v2", answers="file", subset=True)
WHOLE = planned_dataset("vqa_v2")
QUESTIONS = "vqa-v2/v2_OpenEnded_mscoco_val2014_questions.json"
ANNOTATIONS = "vqa-v2/v2_mscoco_val2014_annotations.json"
CAPTIONS = "coco/annotations/captions_val2014.json"
KARPATHY = "coco/dataset_coco.json"
LABELS = "vqa-v2/trainval_ans2label.json"
GERMAN = "multi30k/raw/train.de.gz"
LIST = "multi30k/image_splits/train.txt"
JOIN = "multi30k/join_flickr8k/train.tsv"
PHOTOS = "coco/images/val2014.tar"
FLICKR8K = "flickr8k/images_112.tar"
PACKED = {file_name(image): jpeg() for image in (13, 14, 15)}


def same_question_in_both_years(questions: Path) -> None:
    first("questions", question_id=11000)(questions)
    first("annotations", question_id=11000)(questions.parents[1] / ANNOTATIONS)


# data set, damaged file, {name: (damage, regular expression of what follows the file's name in the message)}
Cases = dict[str, tuple[Damage, str]]
GROUPS: list[tuple[UsedDataset, str, Cases]] = [
    (
        VQA,
        ANNOTATIONS,
        {
            "absent": (Path.unlink, "no such file; put it there"),
            "a folder": (replaced(Path.mkdir), "a file was expected, this is a folder"),
            "a symlink loop": (
                replaced(lambda p: p.symlink_to(p)),
                "cannot be read .Too many levels of symb",
            ),
            "a dangling link": (replaced(lambda p: p.symlink_to("x")), "no such file"),
            "a key twice": (
                text_of(lambda t: t.replace('"image_id": 13', '"question_id": 13000, "image_id": 13', 1)),
                r"broken JSON \(key 'question_id' twice in one object: \{'question_id': 13000",
            ),
            "an annotation twice": (added("annotations"), "question_id 13000 is there twice"),
            "no question": (
                added("annotations", question_id=9),
                f"question_id 9 has no question in .*{QUESTIONS}",
            ),
            "9 answers": (
                first("annotations", answers=answers(*["yes"] * 9)),
                "question_id 13000: 'answers' must be a list of 10, found 9",
            ),
            "11 answers": (
                first("annotations", answers=answers(*["yes"] * 11)),
                "question_id 13000: 'answers' must be a list of 10, found 11",
            ),
            "a number as answer": (
                first("annotations", answers=[{"answer": 2}] * 10),
                "question_id 13000: answer is empty or not a text",
            ),
            "no best answer": (
                first("annotations", multiple_choice_answer=...),
                "question_id 13000: key 'multiple_choice_answer' is missing",
            ),
            "a float as image_id": (
                first("annotations", image_id=13.0),
                "question_id 13000: 'image_id' must be a whole number, found 13.0",
            ),
        },
    ),
    (
        VQA,
        QUESTIONS,
        {
            "empty JSON": (bytes_of(lambda _: b""), "broken JSON in line 1"),
            "truncated JSON": (bytes_of(lambda b: b[:-9]), "broken JSON in line 1"),
            "a list": (bytes_of(lambda _: b"[]"), "key 'questions' is missing at the top level"),
            "an object of questions": (
                json_of(lambda content: content.update(questions={"1": {}})),
                "'questions' must be a list of objects",
            ),
            "BOM in JSON": (
                bytes_of(lambda b: b"\xef\xbb\xbf" + b),
                "starts with a byte order mark; save it",
            ),
            "UTF-16": (bytes_of(lambda b: b.decode().encode("utf-16")), "not UTF-8 text"),
            "NaN": (text_of(lambda t: t.replace("13000", "NaN")), "broken JSON .NaN is no JSON value"),
            "a question twice": (added("questions"), "question_id 13000 is there twice"),
            "no annotation": (
                added("questions", question_id=9),
                f"question_id 9 has no annotation in .*{ANNOTATIONS}",
            ),
            "a question of both years": (
                same_question_in_both_years,
                "question_id 11000: the other year's file has that id too",
            ),
            "an empty question": (first("questions", question=" "), "question_id 13000: question is empty"),
            "true as image_id": (
                first("questions", image_id=True),
                "question_id 13000: 'image_id' must be a whole number, found True",
            ),
            "another image": (
                first("questions", image_id=14),
                f"question_id 13000: image_id differs from that in .*{ANNOTATIONS}",
            ),
            "no question_id": (first("questions", question_id=...), "record 0: key 'question_id' is missing"),
        },
    ),
    (
        FROM_FILE,
        LABELS,
        {
            "a label twice": (lambda p: write_json(p, {"no": 0, "yes": 0}), "'no' and 'yes' have the same"),
            "answers as a list": (lambda p: write_json(p, ["no"]), "expected an object of answer -> label"),
        },
    ),
    (
        COCO,
        CAPTIONS,
        {
            "invalid UTF-8 in JSON": (
                bytes_of(lambda b: b.replace(b"caption 0", b"caf\xe9")),
                r"not UTF-8 text \(byte \d+\); save it as UTF-8",
            ),
            "a lone surrogate": (
                first("annotations", caption="a \ud83d dog"),
                "caption id 130: caption has half a character",
            ),
            "a caption of an unknown image": (
                first("annotations", image_id=99),
                "caption id 130: image 99 is not among the file's images",
            ),
            "an image twice": (added("images"), "image id 13 is there twice"),
            "an image without captions": (
                without("annotations", 0, 1, 2, 3, 4),
                f"image id 13: no caption for image {file_name(13)}",
            ),
            "an empty caption": (first("annotations", caption=""), "caption id 130: caption is empty"),
        },
    ),
    (
        VQA,
        KARPATHY,
        {
            "an image in two splits": (added("images", split="test"), "cocoid 11 is there twice"),
            "restval misspelled": (
                first("images", split="rest_val"),
                "cocoid 11: split must be one of .*, found 'rest_val'; restore .*Did you mean 'restval'",
            ),
            "another file name": (first("images", filename="11.jpg"), "cocoid 11: its file must be"),
            "no test image": (
                without("images", 4),
                "no test image has questions; 15 questions were read, 3 of them on images that are not in it",
            ),
        },
    ),
    (WHOLE, KARPATHY, {"a wrong size": (without("images", 0), "2 train images, officially 113287")}),
    (
        MULTI30K,
        GERMAN,
        {
            "a truncated gz": (bytes_of(lambda b: b[:-6]), r"cannot be read \(Compressed file ended"),
            "no gz": (bytes_of(lambda _: b"Ein Hund.\n"), r"cannot be read \(Not a gzipped file"),
            "a line too few": (text_of(lambda t: t[: t.rindex("de")]), "2 lines, but .*train.en.gz has 3"),
            "an empty text": (text_of(lambda _: ""), "0 lines, but .*train.en.gz has 3"),
            "an empty line": (
                text_of(lambda t: "\n" + t.partition("\n")[2]),
                "line 1: the sentence is empty",
            ),
            "CRLF": (text_of(lambda t: t.replace("\n", "\r\n")), r"line 1 ends in a carriage return \(CRLF"),
            "old Mac line ends": (
                text_of(lambda t: t.replace("\n", "\r")),
                "line 1 ends in a carriage return",
            ),
            "BOM in text": (text_of(lambda t: "\ufeff" + t), "line 1 starts with a byte order mark"),
        },
    ),
    (
        MULTI30K,
        LIST,
        {"invalid UTF-8": (bytes_of(lambda b: b.replace(b"train1", b"\xe91")), "line 2 is not UTF-8")},
    ),
    (
        MULTI30K,
        JOIN,
        {
            "no header": (text_of(lambda t: t.partition("\n")[2]), "line 1: expected the header"),
            "another image in the join": (
                text_of(lambda t: t.replace("\ttrain1.jpg", "\ttrain9.jpg")),
                "line 3: train9.jpg is not the image in line 2 of",
            ),
        },
    ),
    (
        COCO,
        PHOTOS,
        {
            "a photo missing": (
                packed({file_name(image): jpeg() for image in (14, 15)}),
                f"no photo {file_name(13)}; add it",
            ),
            "a zero-byte JPEG": (packed(PACKED | {file_name(14): b""}), f"{file_name(14)} cannot be decoded"),
            "half a JPEG": (packed(PACKED | {file_name(14): jpeg()[:300]}), f"{file_name(14)} cannot be dec"),
            "no photos": (Path.unlink, "no such file, and .*val2014 is no folder; put the photos"),
            "a tar cut in a photo": (bytes_of(lambda b: b[:1000]), "tar archive .unexpected end of data"),
            "a tar cut in a header": (bytes_of(lambda b: b[:2000]), "tar archive .unexpected end of data"),
            "a compressed tar": (packed(PACKED, "w:gz"), "no readable uncompressed tar archive"),
            "no tar": (bytes_of(lambda _: b"no tar " * 999), "no readable uncompressed tar archive"),
            "an empty file for a tar": (bytes_of(lambda _: b""), "no readable uncompressed tar archive"),
        },
    ),
    (
        MULTI30K,
        FLICKR8K,
        {
            "a tar with a folder": (
                packed({"x/train0_x.jpg": jpeg()}),
                "x/train0_x.jpg lies in a folder; pack",
            ),
            "a photo twice": (packed({"train0_x.jpg": jpeg()}, "a"), "train0_x.jpg is there twice"),
        },
    ),
]
