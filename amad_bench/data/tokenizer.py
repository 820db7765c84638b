"""A byte-pair vocabulary trained on one task's training split; decoding restores the text exactly."""

from collections.abc import Iterable
from pathlib import Path

from tokenizers import Tokenizer as Backend
from tokenizers import decoders, models, normalizers, pre_tokenizers, trainers

from amad_bench.runtime.errors import UserError

PAD, EOS, UNKNOWN, BOS = 0, 1, 2, 3
SPECIALS = ("<pad>", "</s>", "<unk>", "<s>")  # position = id


class Tokenizer:
    """Text to ids and back. Ids of PAD, EOS, UNKNOWN, BOS are fixed; `encode` adds none of them."""

    def __init__(self, backend: Backend) -> None:
        self._backend = backend
        # Else the text "</s>" would become the id EOS. A tokenizer file does not keep this.
        backend.encode_special_tokens = True

    @property
    def size(self) -> int:
        return self._backend.get_vocab_size()

    def encode(self, text: str) -> list[int]:
        return self._backend.encode(text, add_special_tokens=False).ids

    def encode_all(self, texts: list[str]) -> list[list[int]]:
        return [encoding.ids for encoding in self._backend.encode_batch_fast(texts, add_special_tokens=False)]

    def decode(self, ids: Iterable[int]) -> str:
        """Without special tokens and surrounding white space."""
        return self._backend.decode([int(token) for token in ids], skip_special_tokens=True).strip()

    def save(self, path: Path) -> None:
        self._backend.save(str(path))


def train_tokenizer(texts: Iterable[str], vocabulary: int) -> Tokenizer:
    """Byte-pair merges inside words, up to `vocabulary` entries (fewer if nothing is left to merge).

    UserError when the characters of the texts alone do not fit.
    """
    backend = Backend(models.BPE(unk_token=SPECIALS[UNKNOWN]))
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
            " different characters and special tokens; raise it in the cell"
        )
    return Tokenizer(backend)


def load_tokenizer(path: Path) -> Tokenizer:
    return Tokenizer(Backend.from_file(str(path)))
