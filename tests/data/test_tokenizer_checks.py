"""A tokenizer that would read its own vocabulary wrongly is refused, with what to write where."""

import json
from pathlib import Path

import pytest
from transformers import AutoTokenizer

from amad_bench.data.tokenizer import Tokenizer, load_folder_tokenizer
from amad_bench.runtime.errors import UserError
from tests.data.folders import t5_folder

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
    with pytest.raises(UserError, match=r"has no capital letters .* \"do_lower_case\": true there"):
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
