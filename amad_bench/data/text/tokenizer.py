"""Text to ids: a byte-pair vocabulary trained on a task's training split, or a Hugging Face folder."""

import os
from collections.abc import Iterable, Sequence
from dataclasses import astuple, dataclass, replace
from pathlib import Path

from tokenizers import Tokenizer as Backend
from tokenizers import decoders, models, normalizers, pre_tokenizers, trainers

from amad_bench.data.pretrained import loading
from amad_bench.data.text.tokenizer_checks import check_tokenizer
from amad_bench.plan.catalogue import FAMILIES
from amad_bench.plan.catalogue.family import FamilyTokens
from amad_bench.runtime.errors import UserError
from amad_bench.runtime.files import atomic_file, refuse_lfs_pointer

_WORDS_ALONE = FamilyTokens()
SPECIALS = ("<pad>", "</s>", "<unk>", "<s>")  # of a vocabulary trained here; position = id
_FILES = ("config.json", "tokenizer_config.json", "tokenizer.json", "spiece.model", "vocab.txt")


@dataclass(frozen=True)
class SpecialIds:
    """Ids that stand for no text; the defaults are those of a vocabulary trained here. T5 has no `bos`.

    bos begins what a decoder writes, start what a family's text encoder reads; mask hides a word (BERT).
    """

    pad: int = 0
    eos: int = 1
    unknown: int = 2
    bos: int | None = 3
    mask: int | None = None
    start: int | None = None

    @property
    def given(self) -> list[int]:
        """Ids of those that there are."""
        return sorted({token for token in astuple(self) if token is not None})


class Tokenizer:
    """Text to ids and back; `encode` adds no special id.

    No text becomes one of `special` but unknown, nor a sentinel or a region's number.
    """

    def __init__(self, backend: Backend, special: SpecialIds) -> None:
        self._backend = backend
        self.special = special
        self.pad, self.eos, self.unknown, self.bos = special.pad, special.eos, special.unknown, special.bos
        # Else the text "</s>" would become the id EOS. A tokenizer file does not keep this.
        backend.encode_special_tokens = True
        tokens = [family.tokens for family in FAMILIES.values()]
        names = [name for of in tokens for name in (*of.sentinels, *of.regions)]
        numbered = {backend.token_to_id(name) for name in names} - {None}
        self._reserved = (set(special.given) | numbered) - {special.unknown}

    @property
    def size(self) -> int:
        return self._backend.get_vocab_size()

    def encode(self, text: str) -> list[int]:
        return self._as_text(self._backend.encode(text, add_special_tokens=False).ids)

    def encode_all(self, texts: Sequence[str]) -> list[list[int]]:
        encodings = self._backend.encode_batch_fast(list(texts), add_special_tokens=False)
        return [self._as_text(encoding.ids) for encoding in encodings]

    def _as_text(self, ids: list[int]) -> list[int]:
        """Ids, unknown for special ones: a text that says "</s>" has them, T5's are pieces like others."""
        if self._reserved.isdisjoint(ids):
            return ids
        return [self.unknown if token in self._reserved else token for token in ids]

    @property
    def start(self) -> int:
        """The id that begins a text for a text encoder; ValueError where there is none."""
        if self.special.start is None:
            raise ValueError("the tokenizer has no start token: it is for a family without a text encoder")
        return self.special.start

    @property
    def mask(self) -> int:
        """The id that hides a word; ValueError where there is none."""
        if self.special.mask is None:
            raise ValueError("the tokenizer has no mask token: it is for a family that masks no single words")
        return self.special.mask

    def id_of(self, name: str) -> int:
        """The id of a token by its name, as the catalogue has those of families; ValueError without it."""
        token = self._backend.token_to_id(name)
        if token is None:
            raise ValueError(f"the tokenizer has no {name}")
        return token

    def decode(self, ids: Iterable[int]) -> str:
        """Text without special tokens and surrounding white space."""
        return self._backend.decode([int(token) for token in ids], skip_special_tokens=True).strip()

    def save(self, path: Path) -> None:
        """Writes tokenizer.json, complete or not at all."""
        with atomic_file(path) as temporary:
            self._backend.save(str(temporary))


def train_tokenizer(
    texts: Iterable[str], vocabulary: int, tokens: FamilyTokens = _WORDS_ALONE, pretraining: bool = False
) -> Tokenizer:
    """Byte-pair merges inside words, up to `vocabulary` entries (fewer if nothing is left to merge).

    tokens: the family's. pretraining: behind the words come those of its pre-training tasks. "<s>" begins
    both what is written and, where the family has a start for it, what is read. UserError when the characters
    of the texts alone do not fit.
    """
    special = SpecialIds(start=SPECIALS.index("<s>") if tokens.starts else None)
    backend = Backend(models.BPE(unk_token=SPECIALS[special.unknown]))
    backend.normalizer = normalizers.NFC()
    # A space belongs to the word after it ("▁word"), punctuation to nothing: both "it?" and "it ?" survive.
    backend.pre_tokenizer = pre_tokenizers.Sequence(
        [pre_tokenizers.Metaspace(), pre_tokenizers.Punctuation()]
    )
    backend.decoder = decoders.Metaspace()
    backend.train_from_iterator(
        texts,
        trainers.BpeTrainer(vocab_size=vocabulary, special_tokens=list(SPECIALS), show_progress=False),
    )
    if backend.get_vocab_size() > vocabulary:
        raise UserError(
            f"vocabulary: {vocabulary} is too small, the training texts alone have {backend.get_vocab_size()}"
            " different characters and special tokens; raise it in the task entry"
        )
    if pretraining:
        backend.add_special_tokens(list(tokens.trained))
        special = replace(special, mask=tokens.mask and backend.token_to_id(tokens.mask))
    return Tokenizer(backend, special)


def load_tokenizer(path: Path, special: SpecialIds) -> Tokenizer:
    """A saved tokenizer.json, which does not say which ids are special."""
    return Tokenizer(Backend.from_file(str(path)), special)


def load_folder_tokenizer(folder: Path, family: str) -> Tokenizer:
    """A local Hugging Face folder: T5's SentencePiece or BERT's WordPiece; nothing is downloaded.

    The family's own tokens come behind the vocabulary, as in the official code of VL-T5 (j-min/VL-T5,
    src/tokenization.py: ids 32100 to 32199 behind T5's own) and of BLIP (salesforce/BLIP, models/blip.py:
    30522 and 30523 behind BERT's own). Where there is no EOS, [SEP] ends a text.
    UserError for a folder that holds no tokenizer, none with the special tokens the family needs, or one that
    does not fit its own vocabulary.
    """
    from transformers import AutoTokenizer  # slow to import, and few runs need it

    for name in _FILES:
        refuse_lfs_pointer(folder / name)  # as a vocabulary, it would have three words
    with loading(folder, "a T5 or BERT tokenizer", _FILES):
        loaded = AutoTokenizer.from_pretrained(os.fspath(folder), local_files_only=True)
        backend: Backend = loaded.backend_tokenizer

    pad, unknown, mask = loaded.pad_token_id, loaded.unk_token_id, loaded.mask_token_id
    eos = loaded.sep_token_id if loaded.eos_token_id is None else loaded.eos_token_id
    tokens = FAMILIES[family].tokens
    masks = tokens.mask is not None
    if pad is None or eos is None or unknown is None or (masks and mask is None):
        needed = "pad, eos (or sep) and unk" + (" and mask" if masks else "")
        raise UserError(f"{folder}: {family} needs a tokenizer with {needed} tokens; take another one")
    if max(backend.get_vocab().values()) >= backend.get_vocab_size():
        raise UserError(f"{folder}: an entry of its vocabulary stands there twice; restore the file")
    backend.no_padding()
    backend.no_truncation()
    check_tokenizer(folder, loaded)
    backend.add_special_tokens(list(tokens.own))
    bos, start = loaded.cls_token_id if loaded.bos_token_id is None else loaded.bos_token_id, None
    if tokens.starts:
        bos, start = (backend.token_to_id(name) for name in tokens.starts)
    return Tokenizer(backend, SpecialIds(pad, eos, unknown, bos, mask if masks else None, start))
