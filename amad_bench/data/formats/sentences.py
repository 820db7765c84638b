"""Line-aligned sentence pairs with a photo per line, in the layout of Multi30K."""

import hashlib
from pathlib import Path

from amad_bench.data.formats.records import RESTORE, Example, check_text, read_lines
from amad_bench.runtime.errors import UserError


def read_pairs(
    source_path: Path, target_path: Path, images_path: Path | None, photos: dict[int, str] | None = None
) -> list[Example]:
    """Line i of both texts and of the image list belong together; example id = 0-based line number.

    photos: line -> file name of the photo we have; None: the image list names the files themselves.
    An image name may end in "#" and the number of a caption; lines on one image share its cluster. Without an
    image list, lines with the same source sentence do.
    UserError: different line counts, an empty line.
    """
    sources, targets = read_lines(source_path), read_lines(target_path)
    if images_path is None:
        names, images_path, photos = [_cluster(source) for source in sources], source_path, {}
    else:
        names = read_lines(images_path)
    for path, lines in ((target_path, targets), (images_path, names)):
        if len(lines) != len(sources):
            raise UserError(
                f"{path}: {len(lines)} lines, but {source_path} has {len(sources)};"
                f" line i of both must belong together; {RESTORE}"
            )
    examples = []
    for number, (source, target, image) in enumerate(zip(sources, targets, names, strict=True)):
        target = check_text(target, "the sentence", f"{target_path}: line {number + 1}")
        examples.append(
            Example(
                example_id=str(number),
                cluster_id=check_text(
                    image.partition("#")[0], "the image name", f"{images_path}: line {number + 1}"
                ),
                image=image if photos is None else photos.get(number),
                source=check_text(source, "the sentence", f"{source_path}: line {number + 1}"),
                target=target,
                references=(target,),
                where=f"{source_path}: line {number + 1}",
            )
        )
    return examples


def _cluster(sentence: str) -> str:
    return hashlib.sha256(sentence.encode()).hexdigest()[:16]
