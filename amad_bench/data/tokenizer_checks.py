"""Whether a folder's tokenizer is the one its vocabulary was made for.

transformers lower-cases what BERT reads unless tokenizer_config.json says otherwise, and reads one of the
folder's files where it has several: a cased vocabulary, or a file that was changed alone, goes unnoticed.
"""

import string
from pathlib import Path
from typing import Any

from amad_bench.runtime.errors import UserError

_UNREACHABLE = 1e-3  # share of entries; BERT's and T5's own have none
_CONTINUED = ("##", "▁")  # how WordPiece marks what goes on in a word, and SentencePiece what begins one


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
    _check_files(folder, vocabulary)
    _check_normaliser(folder, backend, set(vocabulary) - set(loaded.all_special_tokens))


def _check_files(folder: Path, vocabulary: dict[str, int]) -> None:
    """What stands beside tokenizer.json must say the same."""
    for name, entries in (("vocab.txt", _wordpieces), ("spiece.model", _sentencepieces)):
        if not (folder / name).is_file():
            continue
        for number, entry in enumerate(entries(folder / name)):
            if vocabulary.get(entry) != number:
                raise UserError(
                    f"{folder / name}: entry {number}, {entry!r}, is not that of tokenizer.json or of the "
                    "tokenizer made of this folder; remove the file that is wrong"
                )


def _wordpieces(path: Path) -> list[str]:
    return path.read_text(encoding="utf-8").splitlines()


def _sentencepieces(path: Path) -> list[str]:
    from sentencepiece import SentencePieceProcessor  # few runs need it

    processor: Any = SentencePieceProcessor(model_file=str(path))
    return [processor.id_to_piece(number) for number in range(processor.get_piece_size())]


def _check_normaliser(folder: Path, backend: Any, words: set[str]) -> None:
    """Every entry must be what the normaliser can leave of a text, and it must leave no capitals unknown."""
    file = folder / "tokenizer_config.json"
    if backend.normalizer is not None:
        unreachable = sorted(word for word in words if _normalised(backend, word) != _bare(word))
        if len(unreachable) > _UNREACHABLE * len(words):
            example = unreachable[0]
            raise UserError(
                f"{file}: {len(unreachable)} of {len(words)} entries of the vocabulary, such as "
                f"{example!r}, become {_normalised(backend, example)!r} before they are looked up; "
                'write "do_lower_case": false (a cased vocabulary) or "strip_accents": false there'
            )
    unknown = backend.model.unk_token if hasattr(backend.model, "unk_token") else None
    small, capital = (
        {letter for letter in letters if backend.encode(letter, add_special_tokens=False).tokens != [unknown]}
        for letters in (string.ascii_lowercase, string.ascii_uppercase)
    )
    if small and not capital:
        raise UserError(
            f"{file}: the vocabulary has no capital letters and the tokenizer keeps them, so that every word "
            'with one would be unknown; write "do_lower_case": true there'
        )


def _bare(word: str) -> str:
    for mark in _CONTINUED:
        word = word.removeprefix(mark)
    return word


def _normalised(backend: Any, word: str) -> str:
    return backend.normalizer.normalize_str(_bare(word)).strip()  # spaces stand around a Chinese character
