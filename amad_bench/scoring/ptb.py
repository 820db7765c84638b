"""pycocoevalcap's PTB tokenizer, run so that no caption is ever lost."""

import re
import tempfile
from importlib.resources import as_file, files
from pathlib import Path

from pycocoevalcap.tokenizer.ptbtokenizer import PUNCTUATIONS, STANFORD_CORENLP_3_4_1_JAR

from amad_bench.scoring.java import JavaFailed, run_java

# What the PTB lexer takes for a line's end; one inside a caption would shift every caption after it.
_LINE_BREAKS = re.compile("[\r\n\v\f\u2028\u2029]")
_TIMEOUT = 600.0


def ptb_tokenize(*blocks: list[str]) -> list[list[str]]:
    """pycocoevalcap's PTB tokens (lower case, without punctuation, joined by blanks) of lists of captions.

    All in one start of Java, in a private temporary folder; equal blocks are tokenised once. JavaFailed when
    Java dies, hangs or returns other lines than it got. As in pycocoevalcap, a caption that ends
    in an abbreviation is read in the light of the next one; the blank line between blocks acts as the end of
    a file.
    """
    distinct = list(dict.fromkeys(map(tuple, blocks)))
    lines = "\n\n".join("\n".join(_LINE_BREAKS.sub(" ", caption) for caption in block) for block in distinct)
    expected = sum(map(len, distinct)) + len(distinct) - 1
    tokenised = _run(lines).split("\n")
    if len(tokenised) != expected:
        raise JavaFailed(f"{expected} lines went in, {len(tokenised)} came out")
    remaining = iter(tokenised)
    tokens_of = {}
    for block in distinct:
        tokens_of[block] = [_without_punctuation(next(remaining)) for _ in block]
        if between := next(remaining, "").strip():
            raise JavaFailed(
                f"{between[:60]!r} came out where the blank line between two blocks was expected"
            )
    return [tokens_of[tuple(block)] for block in blocks]


def _run(lines: str) -> str:
    jar = files("pycocoevalcap.tokenizer") / STANFORD_CORENLP_3_4_1_JAR
    options = ["edu.stanford.nlp.process.PTBTokenizer", "-preserveLines", "-lowerCase", "captions.txt"]
    with tempfile.TemporaryDirectory(prefix="amad-ptb-") as folder, as_file(jar) as jar_path:
        # A lone surrogate (half an emoji in broken JSON) has no UTF-8 form; as "?" it is dropped below.
        Path(folder, "captions.txt").write_bytes(lines.encode(errors="replace"))
        return run_java(["-cp", str(jar_path), *options], folder=Path(folder), timeout=_TIMEOUT)


def _without_punctuation(line: str) -> str:
    return " ".join(word for word in line.rstrip().split(" ") if word not in PUNCTUATIONS)
