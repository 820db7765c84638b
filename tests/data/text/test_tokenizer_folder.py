"""Tokenizers written for transformers and read back by it: the ids are those of our own."""

import pytest
from transformers import AutoTokenizer

from amad_bench.data.text.tokenizer import load_folder_tokenizer, train_tokenizer
from amad_bench.data.text.tokenizer_folder import save_tokenizer_folder
from amad_bench.plan.catalogue import FAMILIES
from tests.data.folders import bert_folder, t5_folder

TEXTS = ("What is on the mat?", "a café , it's  Two dogs", "")
SPELLED = "say </s> or [SEP] or <pad>"


def _agree(tokenizer, folder, first, texts=(*TEXTS, SPELLED)):
    back = AutoTokenizer.from_pretrained(folder)
    begin = [] if first is None else [first]
    for text in texts:
        ids = tokenizer.encode(text)
        assert back(text).input_ids == [*begin, *ids, tokenizer.eos], text
        assert back.decode(ids, skip_special_tokens=True).strip() == tokenizer.decode(ids)
    assert (back.pad_token_id, back.eos_token_id) == (tokenizer.pad, tokenizer.eos)
    assert (back.unk_token_id, back.bos_token_id) == (tokenizer.unknown, tokenizer.bos)
    assert len(back) == tokenizer.size
    padded = back(["What is", "What is on the mat?"], padding=True, return_tensors="pt")
    assert padded.attention_mask.eq(padded.input_ids.ne(tokenizer.pad).long()).all()


@pytest.mark.parametrize("pretraining", [False, True])
@pytest.mark.parametrize("family", ["vlt5", "blip"])
def test_a_vocabulary_trained_here(tmp_path, family, pretraining):
    tokenizer = train_tokenizer(
        ["What is on the mat? café Two dogs it's"] * 3, 90, FAMILIES[family].tokens, pretraining
    )
    first = tokenizer.special.start
    save_tokenizer_folder(tokenizer, tmp_path, first)
    _agree(tokenizer, tmp_path, first)
    assert not list(tmp_path.glob("*.model"))


def test_berts_vocabulary_with_blips_starts(tmp_path):
    """Its own texts begin with [CLS], BLIP's with [ENC]."""
    bert_folder(tmp_path / "own")
    tokenizer = load_folder_tokenizer(tmp_path / "own", "blip")
    (tmp_path / "out").mkdir()
    assert save_tokenizer_folder(tokenizer, tmp_path / "out", tokenizer.start) == []
    _agree(tokenizer, tmp_path / "out", tokenizer.start)


def test_t5s_vocabulary_with_numbers_of_regions(tmp_path):
    """Its special tokens are pieces: spelled in a text, they are what transformers makes of it."""
    t5_folder(tmp_path / "own")
    tokenizer = load_folder_tokenizer(tmp_path / "own", "vlt5")
    (tmp_path / "out").mkdir()
    assert set(save_tokenizer_folder(tokenizer, tmp_path / "out", None)) >= {"</s>", "<pad>"}
    _agree(tokenizer, tmp_path / "out", None, TEXTS)
    ids = AutoTokenizer.from_pretrained(tmp_path / "out")(SPELLED, add_special_tokens=False).input_ids
    assert {tokenizer.eos, tokenizer.pad} <= set(ids)


def test_a_real_bert_vocabulary(tmp_path, shared_weights):
    tokenizer = load_folder_tokenizer(shared_weights / "minilm-l6-h384", "blip")
    for first in (tokenizer.special.start, tokenizer.bos):
        save_tokenizer_folder(tokenizer, tmp_path, first)
        _agree(tokenizer, tmp_path, first)
