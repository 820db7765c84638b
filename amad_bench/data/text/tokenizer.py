"""Text to ids: a byte-pair vocabulary trained on a task's training split, or a Hugging Face folder."""

import os
from collections.abc import Iterable, Sequence
from dataclasses import astuple, dataclass, replace
from pathlib import Path

from tokenizers import Tokenizer as Backend
from tokenizers import decoders, models, normalizers, pre_tokenizers, trainers

from amad_bench.data.pretrained import loading
from amad_bench.data.text.tokenizer_checks import check_tokenizer
from amad_bench.runtime.errors import UserError
from amad_bench.runtime.files import refuse_lfs_pointer

SPECIALS = ("<pad>", "</s>", "<unk>", "<s>")  # of a vocabulary trained here; position = id
_FILES = ("config.json", "tokenizer_config.json", "tokenizer.json", "spiece.model", "vocab.txt")
# T5's <extra_id_99> to <extra_id_0>, which stand for masked spans, and VL-T5's <vis_extra_id_99> to
# <vis_extra_id_0>, which stand for regions: in this order behind the other entries, so that region i has the
# row V - 1 - i of a table of V.
_SENTINELS = tuple(f"<extra_id_{i}>" for i in reversed(range(100)))
VISUAL_TOKENS = 100  # numbers of VL-T5's regions, the last entries of its vocabulary
_VISUAL = tuple(f"<vis_extra_id_{i}>" for i in reversed(range(VISUAL_TOKENS)))
_MASK = "<mask>"
BLIP_STARTS = ("[DEC]", "[ENC]")  # behind BERT's vocabulary: what begins a text to write, and one to read


@dataclass(frozen=True)
class SpecialIds:
    """Ids that stand for no text; the defaults are those of a vocabulary trained here. T5 has no `bos`.

    bos begins what a decoder writes, start what BLIP's text encoder reads; mask hides a word (BERT).
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
        numbered = {backend.token_to_id(name) for name in (*_SENTINELS, *_VISUAL)} - {None}
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
        """The id that begins a text for BLIP's encoder; ValueError where there is none."""
        if self.special.start is None:
            raise ValueError("the tokenizer has no start token: it is not one for blip")
        return self.special.start

    def sentinel(self, i: int) -> int:
        """The id of <extra_id_i>, which stands for masked span i; ValueError where there is none."""
        return self._id_of(f"<extra_id_{i}>")

    def visual(self, i: int) -> int:
        """The id of <vis_extra_id_i>, which stands for region i; ValueError where there is none."""
        return self._id_of(f"<vis_extra_id_{i}>")

    def _id_of(self, name: str) -> int:
        token = self._backend.token_to_id(name)
        if token is None:
            raise ValueError(f"the tokenizer has no {name}")
        return token

    def decode(self, ids: Iterable[int]) -> str:
        """Text without special tokens and surrounding white space."""
        return self._backend.decode([int(token) for token in ids], skip_special_tokens=True).strip()

    def save(self, path: Path) -> None:
        self._backend.save(str(path))


def train_tokenizer(
    texts: Iterable[str], vocabulary: int, family: str = "vlt5", pretraining: bool = False
) -> Tokenizer:
    """Byte-pair merges inside words, up to `vocabulary` entries (fewer if nothing is left to merge).

    pretraining: behind them come the tokens of the family's pre-training tasks. For blip, "<s>" begins both
    what is written and what is read. UserError when the characters of the texts alone do not fit.
    """
    special = SpecialIds(start=SPECIALS.index("<s>") if family == "blip" else None)
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
    if pretraining and family == "vlt5":
        backend.add_special_tokens([*_SENTINELS, *_VISUAL])
    elif pretraining:
        backend.add_special_tokens([_MASK])
        special = replace(special, mask=backend.token_to_id(_MASK))
    return Tokenizer(backend, special)


def load_tokenizer(path: Path, special: SpecialIds) -> Tokenizer:
    """A saved tokenizer.json, which does not say which ids are special."""
    return Tokenizer(Backend.from_file(str(path)), special)


def load_folder_tokenizer(folder: Path, family: str) -> Tokenizer:
    """A local Hugging Face folder: T5's SentencePiece or BERT's WordPiece; nothing is downloaded.

    Family vlt5 gets VL-T5's visual tokens behind the vocabulary, as in the official code (j-min/VL-T5,
    src/tokenization.py): ids 32100 to 32199 for T5's own. Family blip gets [DEC] and [ENC] there, as in the
    official code (salesforce/BLIP, models/blip.py): 30522 and 30523 for BERT's own; [SEP] ends a text.
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
    if pad is None or eos is None or unknown is None or (family == "blip" and mask is None):
        needed = "pad, eos (or sep) and unk" + (" and mask" if family == "blip" else "")
        raise UserError(f"{folder}: {family} needs a tokenizer with {needed} tokens; take another one")
    if max(backend.get_vocab().values()) >= backend.get_vocab_size():
        raise UserError(f"{folder}: an entry of its vocabulary stands there twice; restore the file")
    backend.no_padding()
    backend.no_truncation()
    check_tokenizer(folder, loaded)
    if family == "vlt5":
        backend.add_special_tokens(list(_VISUAL))
        bos = loaded.cls_token_id if loaded.bos_token_id is None else loaded.bos_token_id
        return Tokenizer(backend, SpecialIds(pad, eos, unknown, bos))
    backend.add_special_tokens(list(BLIP_STARTS))
    bos, start = (backend.token_to_id(name) for name in BLIP_STARTS)
    return Tokenizer(backend, SpecialIds(pad, eos, unknown, bos, mask, start))
