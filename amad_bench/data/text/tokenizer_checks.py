"""Checks that a folder's tokenizer is the one its vocabulary was made for.

transformers lower-cases what BERT reads unless tokenizer_config.json says otherwise, builds T5's tokenizer
by rules of its own, and reads one of the folder's files where it has several: a cased vocabulary, another
normaliser, or a file that was changed alone goes unnoticed.
"""

import re
import string
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from tokenizers import Tokenizer as Backend

from amad_bench.runtime.errors import UserError

UNREACHABLE = 1e-3  # share of entries; BERT's and T5's own have none
FEW_CAPITALS = 0.1  # of the small letters that are known
_TOKENIZER = "tokenizer.json"
_CONTINUED = ("##", "▁")  # how WordPiece marks what goes on in a word, and SentencePiece what begins one
_NO_WORD = re.compile(r"\[.*\]|<.*>")  # [unused7], <extra_id_7>
_PROBES = (
    "What color is the small Dog on the left, and who put 12 apples there?",
    "Ein Hund läuft über die Straße; où est le garçon (1,234.5 km)?",
    "U.S. people's T-shirts cost $7 or 5% more — in Zürich",
    "ж 😀 x  y",
)


def check_tokenizer(folder: Path, loaded: Any) -> None:
    """UserError naming the folder or file. loaded: the tokenizer that transformers made of the folder."""
    backend = loaded.backend_tokenizer
    vocabulary = backend.get_vocab(with_added_tokens=False)
    special = {token: getattr(loaded, f"{token}_token") for token in ("pad", "unk", "eos", "sep", "mask")}
    absent = [text for text in special.values() if text is not None and text not in vocabulary]
    if absent:
        raise UserError(
            f"{folder}: its vocabulary lacks {', '.join(absent)}, which would be new words; restore the file"
        )
    _check_files(folder, {number: entry for entry, number in vocabulary.items()})
    words = {word for word in vocabulary if not _NO_WORD.fullmatch(word)}
    _check_normaliser(folder, backend, words - set(loaded.all_special_tokens))
    _check_probes(folder, backend)
    _check_capitals(folder, backend, loaded.unk_token_id)


def _check_files(folder: Path, entry_of: Mapping[int, str]) -> None:
    """Files beside tokenizer.json must say the same."""
    for name, entries in (("vocab.txt", _wordpieces), ("spiece.model", _sentencepieces)):
        if not (folder / name).is_file():
            continue
        for number, entry in enumerate(entries(folder / name)):
            if entry_of.get(number, "").strip() != entry.strip():  # its readers trim entries of white space
                raise UserError(
                    f"{folder / name}: entry {number}, {entry!r}, is not that of tokenizer.json or of the "
                    "tokenizer made of this folder; remove the file that is wrong"
                )


def _wordpieces(path: Path) -> list[str]:
    """A line is what ends in a line feed: BERT's Chinese vocabulary has Unicode's line separator."""
    with path.open(encoding="utf-8", newline="\n") as file:
        return [line.removesuffix("\n") for line in file]


def _sentencepieces(path: Path) -> list[str]:
    processor = _sentencepiece(path)
    return [processor.id_to_piece(number) for number in range(processor.get_piece_size())]


def _check_normaliser(folder: Path, backend: Any, words: set[str]) -> None:
    """Every entry must be what the normaliser can leave of a text."""
    if backend.normalizer is None:
        return
    unreachable = sorted(word for word in words if _normalised(backend, word) != _bare(word))
    if len(unreachable) > UNREACHABLE * len(words):
        example, becomes = unreachable[0], _normalised(backend, unreachable[0])
        raise UserError(
            f"{folder / 'tokenizer_config.json'}: {len(unreachable)} of {len(words)} entries of the "
            f"vocabulary, such as {example!r}, become {becomes!r} before they are looked up; write "
            f"{_remedy(_bare(example), becomes)} there{_and_beside(folder)}"
        )


def _and_beside(folder: Path) -> str:
    return f", and into the normalizer of {_TOKENIZER}" if (folder / _TOKENIZER).is_file() else ""


def _remedy(word: str, normalised: str) -> str:
    if normalised.replace(" ", "") == word:
        return '"tokenize_chinese_chars": false'
    return '"do_lower_case": false' if word != word.lower() else '"strip_accents": false'


def _check_capitals(folder: Path, backend: Any, unknown: int) -> None:
    small, capital = (
        {letter for letter in letters if unknown not in _ids(backend, letter)}
        for letters in (string.ascii_lowercase, string.ascii_uppercase)
    )
    if len(capital) < FEW_CAPITALS * len(small):
        raise UserError(
            f"{folder / 'tokenizer_config.json'}: the vocabulary has {len(capital)} capital letters and the "
            'tokenizer keeps them, so that most words with one would be unknown; write "do_lower_case": true '
            f"there{_and_beside(folder)}"
        )


def _check_probes(folder: Path, backend: Any) -> None:
    """Texts must become what the folder's own files make of them."""
    texts = [text for probe in _PROBES for text in (*probe.split(), probe)]
    for name, encode in _own_encoders(folder):
        if differing := [text for text in texts if encode(text) != _ids(backend, text)]:
            text = differing[0]
            remedy = "such a file cannot be used, take another tokenizer"
            if name == _TOKENIZER:
                remedy = 'write "tokenizer_class": "PreTrainedTokenizerFast" into tokenizer_config.json'
            raise UserError(
                f"{folder / name}: by it {text!r} is {encode(text)}, transformers' tokenizer makes "
                f"{_ids(backend, text)}; {remedy}"
            )


def _own_encoders(folder: Path) -> Iterator[tuple[str, Any]]:
    if (folder / _TOKENIZER).is_file():
        own = Backend.from_file(str(folder / _TOKENIZER))
        own.no_padding()
        own.no_truncation()
        yield _TOKENIZER, lambda text: _ids(own, text)
    if (folder / "spiece.model").is_file():
        yield "spiece.model", _sentencepiece(folder / "spiece.model").encode


def _sentencepiece(path: Path) -> Any:
    from sentencepiece import SentencePieceProcessor  # few runs need it

    return SentencePieceProcessor(model_file=str(path))


def _ids(backend: Any, text: str) -> list[int]:
    return backend.encode(text, add_special_tokens=False).ids


def _bare(word: str) -> str:
    for mark in _CONTINUED:
        word = word.removeprefix(mark)
    return word


def _normalised(backend: Any, word: str) -> str:
    return backend.normalizer.normalize_str(_bare(word)).strip()  # spaces stand around a Chinese character
