import pytest
from hypothesis import given
from hypothesis import strategies as st

from amad_bench.data.tokenizer import BOS, EOS, PAD, UNKNOWN, load_tokenizer, train_tokenizer
from amad_bench.runtime.errors import UserError

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
    assert (PAD, EOS, UNKNOWN, BOS) == (0, 1, 2, 3)
    ids = TOKENIZER.encode("it is red")
    assert not {PAD, EOS, BOS} & set(ids)
    assert TOKENIZER.decode([BOS, *ids, EOS, PAD, PAD]) == "it is red"
    assert TOKENIZER.encode("漢") == [UNKNOWN] or UNKNOWN in TOKENIZER.encode("漢")


@pytest.mark.parametrize("special", ["<pad>", "</s>", "<s>"])
def test_a_special_tokens_name_is_ordinary_text(special, tmp_path):
    text = f"it is {special} red"
    TOKENIZER.save(tmp_path / "a")
    for tokenizer in (TOKENIZER, load_tokenizer(tmp_path / "a"), train_tokenizer([text] * 5, 200)):
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
    loaded = load_tokenizer(tmp_path / "a")
    assert loaded.size == TOKENIZER.size
    assert [loaded.encode(text) for text in TEXTS] == [TOKENIZER.encode(text) for text in TEXTS]
