from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
import sentencepiece
from hypothesis import given
from hypothesis import strategies as st

from amad_bench.data.text.tokenizer import (
    SpecialIds,
    Tokenizer,
    load_folder_tokenizer,
    load_tokenizer,
    train_tokenizer,
)
from amad_bench.plan.catalogue import FAMILIES
from amad_bench.runtime.errors import UserError
from tests.data.folders import SENTENCES, WORDPIECES, bert_folder, t5_folder

PAD, EOS, UNKNOWN, BOS = 0, 1, 2, 3  # of every vocabulary trained here
TEXTS = [
    "vqa: what color is the small star?",
    "what color is it ?",
    "A man 's dog, two cats -- and (maybe) a bird.",
    "Er ist groß und grün.",
    "Ich sehe ihn, und er ist weiß!",
    "„Schöne“ Straße: 3,5 Meter; größer als 2.",
    "desk_lamp, tray/cup",
]
TOKENIZER = train_tokenizer(TEXTS * 5, 200)


@pytest.mark.parametrize("text", TEXTS)
def test_the_text_comes_back(text):
    assert TOKENIZER.decode(TOKENIZER.encode(text)) == text


@given(st.lists(st.sampled_from([*"abdehimrstöüß .,?!'-:;()"]), max_size=30).map("".join))
def test_any_text_of_known_characters_comes_back(text):
    assert TOKENIZER.decode(TOKENIZER.encode(text)) == text.strip()


def test_special_tokens():
    tokenizer = TOKENIZER
    assert (tokenizer.pad, tokenizer.eos, tokenizer.unknown, tokenizer.bos) == (PAD, EOS, UNKNOWN, BOS)
    ids = TOKENIZER.encode("it is red")
    assert not {PAD, EOS, BOS} & set(ids)
    assert TOKENIZER.decode([BOS, *ids, EOS, PAD, PAD]) == "it is red"
    assert TOKENIZER.encode("漢") == [UNKNOWN] or UNKNOWN in TOKENIZER.encode("漢")


@pytest.mark.parametrize("special", ["<pad>", "</s>", "<s>"])
def test_a_special_tokens_name_is_ordinary_text(special, tmp_path):
    text = f"it is {special} red"
    TOKENIZER.save(tmp_path / "a")
    for tokenizer in (
        TOKENIZER,
        load_tokenizer(tmp_path / "a", SpecialIds()),
        train_tokenizer([text] * 5, 200),
    ):
        for ids in (tokenizer.encode(text), *tokenizer.encode_all([text])):
            assert not {PAD, EOS, BOS} & set(ids)
            assert tokenizer.decode(ids).startswith("it is")
            assert tokenizer.decode(ids).endswith("red")


def test_the_name_of_unknown_comes_back_where_its_characters_are_known():
    text = "it is <unk> red"
    tokenizer = train_tokenizer([text] * 5, 200)
    assert tokenizer.decode(tokenizer.encode(text)) == text


def test_many_at_once_is_the_same():
    assert TOKENIZER.encode_all(TEXTS) == [TOKENIZER.encode(text) for text in TEXTS]


def test_composed_and_decomposed_letters_are_one():
    assert TOKENIZER.encode("gru\u0308n") == TOKENIZER.encode("grün")


def test_a_frequent_word_becomes_one_token_and_size_is_kept():
    tokenizer = train_tokenizer(["red circle"] * 50 + ["a blue square"], 40)
    assert len(tokenizer.encode("red circle")) == 2
    assert tokenizer.size <= 40


def test_a_vocabulary_below_the_alphabet_is_refused():
    with pytest.raises(UserError, match=r"vocabulary: 20 is too small, .* raise it"):
        train_tokenizer(TEXTS, 20)


def test_training_twice_gives_equal_files_and_a_file_gives_the_same_ids(tmp_path):
    for name in "ab":
        train_tokenizer(TEXTS * 5, 200).save(tmp_path / name)
    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()
    loaded = load_tokenizer(tmp_path / "a", SpecialIds())
    assert loaded.size == TOKENIZER.size
    assert [loaded.encode(text) for text in TEXTS] == [TOKENIZER.encode(text) for text in TEXTS]


def test_vl_t5s_pre_training_tokens_stand_behind_the_trained_vocabulary():
    """Region i has row V - 1 - i of a table of V, as in the official code's own vocabulary."""
    shared = train_tokenizer(TEXTS * 5, 200, FAMILIES["vlt5"].tokens, pretraining=True)
    assert shared.size == TOKENIZER.size + 200
    assert shared.special == TOKENIZER.special == SpecialIds()
    assert [shared.id_of(f"<vis_extra_id_{i}>") for i in range(100)] == [
        shared.size - 1 - i for i in range(100)
    ]
    assert [shared.id_of(f"<extra_id_{i}>") for i in range(100)] == [
        shared.size - 101 - i for i in range(100)
    ]
    assert [shared.encode(text) for text in TEXTS] == [TOKENIZER.encode(text) for text in TEXTS]
    assert max(shared.encode("see <extra_id_0> and <vis_extra_id_3> here")) < TOKENIZER.size
    assert (
        shared.decode(
            [shared.id_of("<extra_id_0>"), *shared.encode("it is red"), shared.id_of("<vis_extra_id_7>")]
        )
        == "it is red"
    )


def test_blips_trained_vocabulary_has_a_start_and_for_pre_training_a_mask(tmp_path):
    plain = train_tokenizer(TEXTS * 5, 200, FAMILIES["blip"].tokens)
    assert plain.special == SpecialIds(start=BOS)
    shared = train_tokenizer(TEXTS * 5, 200, FAMILIES["blip"].tokens, pretraining=True)
    assert shared.special == SpecialIds(mask=plain.size, start=BOS)
    assert shared.size == plain.size + 1
    assert plain.size not in shared.encode("it is <mask> red")
    assert shared.start == BOS
    shared.save(tmp_path / "a")
    again = load_tokenizer(tmp_path / "a", shared.special)
    assert again.size == shared.size
    assert plain.size not in again.encode("it is <mask> red")


def test_a_tokenizer_without_sentinels_visual_tokens_or_start():
    for wanted in (
        lambda: TOKENIZER.id_of("<extra_id_0>"),
        lambda: TOKENIZER.id_of("<vis_extra_id_0>"),
        lambda: TOKENIZER.start,
        lambda: TOKENIZER.mask,
    ):
        with pytest.raises(ValueError, match="the tokenizer has no"):
            wanted()
    shared = train_tokenizer(TEXTS * 5, 200, FAMILIES["vlt5"].tokens, pretraining=True)
    with pytest.raises(ValueError, match=r"no <extra_id_100>"):
        shared.id_of("<extra_id_100>")


@pytest.mark.parametrize("folder", [None, t5_folder, bert_folder])
@given(st.lists(st.sampled_from(["it?", "dog,", "Schöne", "run", "what's", "a", "3,5", "漢"]), min_size=1))
def test_a_text_is_encoded_word_by_word(folder, words):
    """Pre-training masks whole words: their ids, put together, are those of the text."""
    tokenizer = _of(folder)
    assert tokenizer.encode(" ".join(words)) == [token for word in words for token in tokenizer.encode(word)]


@cache
def _of(make) -> Tokenizer:
    if make is None:
        return TOKENIZER
    with TemporaryDirectory() as folder:
        make(Path(folder) / "folder")
        return load_folder_tokenizer(Path(folder) / "folder", "vlt5")


@pytest.fixture(scope="module")
def t5(tmp_path_factory) -> Tokenizer:
    folder = tmp_path_factory.mktemp("t5") / "t5"
    t5_folder(folder)
    return load_folder_tokenizer(folder, "vlt5")


def test_t5_has_its_own_ids_and_vl_t5s_visual_tokens_behind_its_extra_ids(t5):
    """Trained to some number of pieces P: then 100 <extra_id>, then <vis_extra_id_99> to <vis_extra_id_0>."""
    assert t5.special == SpecialIds(0, 1, 2, None)
    name = t5._backend.id_to_token
    assert name(t5.size - 1) == "<vis_extra_id_0>"
    assert name(t5.size - 100) == "<vis_extra_id_99>"
    assert name(t5.size - 101) == "<extra_id_0>"
    assert name(t5.size - 200) == "<extra_id_99>"
    assert name(t5.size) is None
    assert name(t5.size - 201) is not None
    assert [
        t5.id_of("<vis_extra_id_0>"),
        t5.id_of("<vis_extra_id_99>"),
        t5.id_of("<extra_id_0>"),
        t5.id_of("<extra_id_99>"),
    ] == [
        t5.size - 1,
        t5.size - 100,
        t5.size - 101,
        t5.size - 200,
    ]


def test_t5_gives_sentencepieces_own_ids(tmp_path):
    t5_folder(tmp_path / "t5")
    tokenizer = load_folder_tokenizer(tmp_path / "t5", "vlt5")
    official = sentencepiece.SentencePieceProcessor(model_file=str(tmp_path / "t5" / "spiece.model"))
    for text in [*SENTENCES, "a red dog, und grün?", "  two  cats "]:
        assert tokenizer.encode(text) == official.encode(text)  # pyright: ignore[reportAttributeAccessIssue]
    assert tokenizer.encode_all(SENTENCES) == [tokenizer.encode(text) for text in SENTENCES]


@pytest.mark.parametrize("text", SENTENCES)
def test_text_comes_back_from_t5(t5, text):
    assert t5.decode([*t5.encode(text), t5.eos, t5.pad]) == text


def test_the_name_of_a_special_token_is_no_special_token_in_t5(t5):
    ids = t5.encode("a dog </s> runs <pad>")
    assert not {t5.pad, t5.eos} & set(ids)
    assert t5.decode(ids).startswith("a dog")


def test_bert(tmp_path):
    bert_folder(tmp_path / "bert")
    bert = load_folder_tokenizer(tmp_path / "bert", "blip")
    assert bert.special == SpecialIds(pad=0, eos=3, unknown=1, bos=16, mask=4, start=17)
    assert bert.size == 18
    ids = bert.encode("What runs the dog?")
    assert ids == [WORDPIECES.index(piece) for piece in ("what", "run", "##s", "the", "dog", "?")]
    assert bert.decode([17, *ids, 3, 0]) == "what runs the dog?"
    assert not {0, 2, 3, 4, 16, 17} & set(bert.encode("[CLS] the [SEP] cat [PAD] [MASK] [DEC] [ENC]"))


@pytest.mark.parametrize("make", [bert_folder, t5_folder])
def test_a_folders_tokenizer_is_the_same_after_saving(tmp_path, make):
    make(tmp_path / "folder")
    tokenizer = load_folder_tokenizer(tmp_path / "folder", "vlt5")
    tokenizer.save(tmp_path / "tokenizer.json")
    again = load_tokenizer(tmp_path / "tokenizer.json", tokenizer.special)
    text = "the dog runs </s> [SEP]?"
    assert again.size == tokenizer.size
    assert again.encode(text) == tokenizer.encode(text)
    assert again.decode(again.encode(text)) == tokenizer.decode(tokenizer.encode(text))


def test_folders_that_hold_no_tokenizer(tmp_path):
    with pytest.raises(UserError, match="nothing: no such folder; put"):
        load_folder_tokenizer(tmp_path / "nothing", "vlt5")
    (tmp_path / "empty").mkdir()
    with pytest.raises(
        UserError, match=r"empty: a T5 or BERT tokenizer cannot be loaded from it: found no file for it"
    ):
        load_folder_tokenizer(tmp_path / "empty", "vlt5")
    t5_folder(tmp_path / "t5")
    with pytest.raises(UserError, match=r"t5: blip needs a tokenizer with pad, .* and mask"):
        load_folder_tokenizer(tmp_path / "t5", "blip")
    bert_folder(tmp_path / "broken")
    (tmp_path / "broken" / "tokenizer.json").write_text("{")
    with pytest.raises(UserError, match=r"broken/tokenizer\.json: broken JSON in line 1"):
        load_folder_tokenizer(tmp_path / "broken", "blip")


def test_a_damaged_sentencepiece_file_is_named(tmp_path, capsys):
    """transformers itself says that tiktoken is not installed."""
    t5_folder(tmp_path / "t5")
    (tmp_path / "t5" / "spiece.model").write_bytes(b"damaged")
    with pytest.raises(
        UserError, match=r"t5: .* found config\.json, spiece\.model, not found .*vocab"
    ) as caught:
        load_folder_tokenizer(tmp_path / "t5", "vlt5")
    assert "tiktoken" not in str(caught.value)
    assert capsys.readouterr().err == ""


def test_a_vocabulary_with_an_entry_twice_is_refused(tmp_path: Path) -> None:
    """A token put behind it would get the id of its last word."""
    bert_folder(tmp_path / "bert")
    with (tmp_path / "bert/vocab.txt").open("a") as file:
        file.write("dog\n")
    with pytest.raises(UserError, match="bert: an entry of its vocabulary stands there twice"):
        load_folder_tokenizer(tmp_path / "bert", "blip")
