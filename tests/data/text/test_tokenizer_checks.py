"""A tokenizer that would read its own vocabulary wrongly is refused, with what to write where."""

import json
from pathlib import Path

import pytest
from tokenizers import Tokenizer as Backend
from tokenizers import decoders, models, normalizers, pre_tokenizers, trainers
from transformers import AutoTokenizer

from amad_bench.data.text.tokenizer import Tokenizer, load_folder_tokenizer
from amad_bench.runtime.errors import UserError
from tests.data.folders import SENTENCES, t5_folder

SPECIALS = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
CASED = [*SPECIALS, "Berlin", "is", "ber", "##lin", "Über", "B", "b", "u", "ü"]
UNCASED = [*SPECIALS, "berlin", "is", "a", "b", "##lin", "一", "##一", "?"]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "config.json").write_text(json.dumps({"model_type": "bert"}))
    return tmp_path


def _vocabulary(folder: Path, words: list[str], **options: object) -> Path:
    """vocab.txt and, where it is to say anything, tokenizer_config.json."""
    (folder / "vocab.txt").write_text("\n".join(words) + "\n", encoding="utf-8")
    if options:
        (folder / "tokenizer_config.json").write_text(json.dumps(options))
    return folder


def _words(tokenizer: Tokenizer, text: str, words: list[str]) -> list[str]:
    return [words[token] for token in tokenizer.encode(text)]


def test_a_cased_vocabulary_keeps_its_words_once_it_is_said_that_it_is_cased(folder: Path) -> None:
    _vocabulary(folder, CASED)
    with pytest.raises(
        UserError, match=r'tokenizer_config\.json: 4 of 9 .* "do_lower_case": false'
    ) as caught:
        load_folder_tokenizer(folder, "blip")
    assert "'B', become 'b'" in str(caught.value)
    _vocabulary(folder, CASED, do_lower_case=False)
    assert _words(load_folder_tokenizer(folder, "blip"), "Berlin is Über", CASED) == ["Berlin", "is", "Über"]


def test_an_uncased_vocabulary_with_accents_needs_them(folder: Path) -> None:
    """Lower-casing takes accents away, too, unless told otherwise: dbmdz's German BERT lost its umlauts."""
    words = [*SPECIALS, "über", "u", "##ber", "is", "berlin"]
    _vocabulary(folder, words, do_lower_case=True)
    with pytest.raises(UserError, match=r"'über', become 'uber' .* \"strip_accents\": false"):
        load_folder_tokenizer(folder, "blip")
    _vocabulary(folder, words, do_lower_case=True, strip_accents=False)
    assert _words(load_folder_tokenizer(folder, "blip"), "Über Berlin", words) == ["über", "berlin"]


def test_an_uncased_vocabulary_in_a_cased_tokenizer_is_refused(folder: Path) -> None:
    _vocabulary(folder, UNCASED, do_lower_case=False)
    with pytest.raises(UserError, match=r"has 0 capital letters .* \"do_lower_case\": true there"):
        load_folder_tokenizer(folder, "blip")
    _vocabulary(folder, UNCASED, do_lower_case=True)
    assert _words(load_folder_tokenizer(folder, "blip"), "Berlin", UNCASED) == ["berlin"]


def test_a_tokenizer_json_that_is_read_with_other_options_is_refused(folder: Path) -> None:
    """transformers sets its normaliser by tokenizer_config.json, and by the defaults where that is lost."""
    _vocabulary(folder, CASED, do_lower_case=False)
    AutoTokenizer.from_pretrained(folder, local_files_only=True).save_pretrained(folder)
    assert _words(load_folder_tokenizer(folder, "blip"), "Berlin", CASED) == ["Berlin"]
    (folder / "tokenizer_config.json").unlink()
    with pytest.raises(UserError, match="become 'b' before they are looked up"):
        load_folder_tokenizer(folder, "blip")


def test_a_vocabulary_beside_tokenizer_json_must_be_the_same(folder: Path) -> None:
    _vocabulary(folder, UNCASED)
    AutoTokenizer.from_pretrained(folder, local_files_only=True).save_pretrained(folder)
    load_folder_tokenizer(folder, "blip")
    _vocabulary(folder, [*SPECIALS, "is", "berlin", *UNCASED[7:]])
    with pytest.raises(UserError, match=r"vocab\.txt: entry 5, 'is', is not that of tokenizer\.json"):
        load_folder_tokenizer(folder, "blip")


def test_pieces_beside_tokenizer_json_must_be_the_same(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    t5_folder(tmp_path / "one")
    monkeypatch.setattr("tests.data.folders.SENTENCES", ["other words stand in here"])
    t5_folder(tmp_path / "other", pieces=30)
    AutoTokenizer.from_pretrained(tmp_path / "one", local_files_only=True).save_pretrained(tmp_path / "one")
    load_folder_tokenizer(tmp_path / "one", "vlt5")
    (tmp_path / "one" / "spiece.model").write_bytes((tmp_path / "other" / "spiece.model").read_bytes())
    with pytest.raises(UserError, match=r"spiece\.model: entry \d+, .* is not that of tokenizer\.json"):
        load_folder_tokenizer(tmp_path / "one", "vlt5")


def test_a_byte_order_mark_is_no_part_of_the_first_word(folder: Path) -> None:
    """[PAD] would be a new word behind all others."""
    _vocabulary(folder, ["\ufeff[PAD]", *UNCASED[1:]])
    with pytest.raises(UserError, match=r"its vocabulary lacks \[PAD\]"):
        load_folder_tokenizer(folder, "blip")


def test_line_ends_of_windows_are_no_part_of_a_word(folder: Path) -> None:
    (folder / "vocab.txt").write_bytes("\r\n".join(UNCASED).encode() + b"\r\n")
    assert _words(load_folder_tokenizer(folder, "blip"), "Berlin is", UNCASED) == ["berlin", "is"]


def test_a_config_without_a_kind_of_model_is_named(folder: Path) -> None:
    _vocabulary(folder, UNCASED)
    (folder / "config.json").write_text("{}")
    with pytest.raises(UserError, match=r"config\.json names no model_type; "):
        load_folder_tokenizer(folder, "blip")


@pytest.mark.parametrize("name", ["vocab.txt", "tokenizer.json", "spiece.model", "config.json"])
def test_a_git_lfs_pointer_is_named(folder: Path, name: str) -> None:
    _vocabulary(folder, UNCASED)
    (folder / name).write_text("version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 9\n")
    with pytest.raises(UserError, match=rf"{name}: a Git LFS pointer, .*git lfs pull"):
        load_folder_tokenizer(folder, "blip")


@pytest.mark.parametrize(("unreachable", "fine"), [(2, True), (3, False)])
def test_one_entry_in_a_thousand_may_be_out_of_reach(folder: Path, unreachable: int, fine: bool) -> None:
    words = [*UNCASED, *(f"w{number}" for number in range(2_000)), *("é", "è", "ê")[:unreachable]]
    _vocabulary(folder, words, do_lower_case=True)
    if fine:
        load_folder_tokenizer(folder, "blip")
    else:
        with pytest.raises(UserError, match=r"3 of 2,?011 entries .* \"strip_accents\": false"):
            load_folder_tokenizer(folder, "blip")


def test_one_capital_letter_is_no_cased_vocabulary(folder: Path) -> None:
    _vocabulary(folder, [*UNCASED, *"cdefghijklmn", "A"], do_lower_case=False)
    with pytest.raises(UserError, match=r"has 1 capital letters .* \"do_lower_case\": true there"):
        load_folder_tokenizer(folder, "blip")


def test_chinese_words_are_no_single_characters(folder: Path) -> None:
    _vocabulary(folder, [*UNCASED, "北京"])
    with pytest.raises(UserError, match=r"\"tokenize_chinese_chars\": false there"):
        load_folder_tokenizer(folder, "blip")


def test_entries_for_later_use_are_no_words(folder: Path) -> None:
    words = [*UNCASED, *(f"[UNUSED{number}]" for number in range(50))]
    assert load_folder_tokenizer(_vocabulary(folder, words), "blip").size == len(words) + 2


@pytest.mark.parametrize("entry", ["\u2028", "##\u2028", "\u3000", "\xa0", "york "])
def test_white_space_in_a_vocabulary_is_read_as_its_readers_do(folder: Path, entry: str) -> None:
    """bert-base-chinese has Unicode's line separator among its words; readers trim entries."""
    words = [*UNCASED, entry, "dog"]
    tokenizer = load_folder_tokenizer(_vocabulary(folder, words), "blip")
    assert tokenizer.encode("dog") == [len(words) - 1]


def _unigram(folder: Path, **options: object) -> Path:
    """A tokenizer.json with a normaliser of its own, as for T5s that were trained from scratch."""
    backend = Backend(models.Unigram())
    backend.normalizer = normalizers.Sequence([normalizers.NFKC(), normalizers.Lowercase()])
    backend.pre_tokenizer = pre_tokenizers.Metaspace()
    backend.decoder = decoders.Metaspace()
    trainer = trainers.UnigramTrainer(
        vocab_size=60, special_tokens=["<pad>", "</s>", "<unk>"], unk_token="<unk>", show_progress=False
    )
    backend.train_from_iterator(SENTENCES * 20, trainer)
    backend.save(str(folder / "tokenizer.json"))
    (folder / "config.json").write_text(json.dumps({"model_type": "t5"}))
    (folder / "tokenizer_config.json").write_text(json.dumps(options))
    return folder


def test_a_normaliser_that_transformers_drops_is_named(tmp_path: Path) -> None:
    """For T5 it builds a tokenizer of its own, unless told to take tokenizer.json as it stands."""
    with pytest.raises(UserError, match=r"tokenizer\.json: by it 'What' is \[.*PreTrainedTokenizerFast"):
        load_folder_tokenizer(_unigram(tmp_path), "vlt5")
    names = {"pad_token": "<pad>", "eos_token": "</s>", "unk_token": "<unk>"}
    folder = _unigram(tmp_path, tokenizer_class="PreTrainedTokenizerFast", **names)
    tokenizer = load_folder_tokenizer(folder, "vlt5")
    assert tokenizer.encode("What Dog") == tokenizer.encode("what dog")


def test_pieces_that_fall_back_to_bytes_are_refused(tmp_path: Path) -> None:
    """transformers' T5 never uses them: what sentencepiece writes in bytes would be unknown."""
    t5_folder(tmp_path / "t5", pieces=320, byte_fallback=True)
    with pytest.raises(UserError, match=r"spiece\.model: by it .* transformers' tokenizer makes"):
        load_folder_tokenizer(tmp_path / "t5", "vlt5")
