"""A tokenizer as files that transformers reads: tokenizer.json, which says how a text begins and ends."""

from pathlib import Path

from tokenizers import Tokenizer as Backend
from tokenizers.processors import TemplateProcessing

from amad_bench.data.pretrained import quiet_transformers
from amad_bench.data.text.tokenizer import Tokenizer

_FILE = "tokenizer.json"


def save_tokenizer_folder(tokenizer: Tokenizer, folder: Path, first: int | None) -> list[str]:
    """Writes what `AutoTokenizer.from_pretrained` reads; it then gives each text its first id, and EOS.

    first: the id that begins what the model reads, None where nothing does. Returns the special tokens that
    a text becomes which spells them, where ours reads unknown: T5's are pieces of its vocabulary as others.
    """
    from transformers import PreTrainedTokenizerFast  # slow to import, and few commands need it

    tokenizer.save(folder / _FILE)  # a copy: the template is no business of ours
    backend = Backend.from_file(str(folder / _FILE))
    ids = {"unk": tokenizer.unknown, "pad": tokenizer.pad, "eos": tokenizer.eos, "bos": tokenizer.bos}
    ids |= {"mask": tokenizer.special.mask}
    tokens = {f"{name}_token": backend.id_to_token(id) for name, id in ids.items() if id is not None}
    around = {backend.id_to_token(id): id for id in (first, tokenizer.eos) if id is not None}
    begins = [] if first is None else [backend.id_to_token(first)]
    pieces = [*begins, "$A", backend.id_to_token(tokenizer.eos)]
    backend.post_processor = TemplateProcessing(single=" ".join(pieces), special_tokens=list(around.items()))
    with quiet_transformers():
        PreTrainedTokenizerFast(
            tokenizer_object=backend,
            split_special_tokens=True,
            clean_up_tokenization_spaces=False,
            model_input_names=["input_ids", "attention_mask"],
            **tokens,
        ).save_pretrained(folder)
    backend.encode_special_tokens = True  # as `split_special_tokens` has it
    names = [name for name in tokens.values() if name is not None]
    return [
        name for name in names if backend.encode(name, add_special_tokens=False).ids != tokenizer.encode(name)
    ]
