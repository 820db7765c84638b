"""Loading from a local Hugging Face folder: silent, and with one line when it cannot be done."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from logging import CRITICAL
from pathlib import Path

from amad_bench.runtime.errors import UserError
from amad_bench.runtime.files import LFS_POINTER, is_lfs_pointer, read_json


@contextmanager
def loading(folder: Path, what: str, files: Sequence[str]) -> Iterator[None]:
    """UserError naming the folder for whatever is raised inside; transformers' own reports are not printed.

    what: the thing that the folder should hold. files: those it can be made of, which the error lists.
    """
    if not folder.is_dir():
        raise UserError(f"{folder}: no such folder; put {what} there")
    try:
        with quiet_transformers():
            yield
    except UserError:
        raise
    except Exception as error:  # of transformers, tokenizers or safetensors: broken files raise almost any
        there = [name for name in files if (folder / name).is_file()]
        # reading them says which line is broken
        content = {name: read_json(folder / name) for name in there if name.endswith(".json")}
        absent = [name for name in files if name not in there]
        reason = _reason(error) if there else ""
        if isinstance(config := content.get("config.json"), dict) and "model_type" not in config:
            reason = f"config.json names no model_type; {reason}"
        raise UserError(
            f"{folder}: {what} cannot be loaded from it: {reason}"
            f"found {', '.join(there) or 'no file for it'}, not found {', '.join(absent) or 'nothing'};"
            f" restore what is damaged or add what it needs{_pointers(folder)}"
        ) from None


def _pointers(folder: Path) -> str:
    """Files that Git LFS has not fetched, whatever failed: a shard among them is named nowhere else."""
    names = [path.name for path in sorted(folder.iterdir()) if is_lfs_pointer(path)]
    return f"; {', '.join(names)}: {LFS_POINTER}" if names else ""


def _reason(error: Exception) -> str:
    """The error's words, unless they ask for tiktoken, as after a SentencePiece file that is not readable."""
    text = " ".join(str(error).split())[:160]
    return "" if not text or isinstance(error.__context__, ImportError) else f"{text.rstrip('.:; ')}; "


@contextmanager
def quiet_transformers() -> Iterator[None]:
    """Silences its loading report, which calls an unused pooler a loss, and its bars."""
    from transformers.utils import logging

    verbosity, bars = logging.get_verbosity(), logging.is_progress_bar_enabled()
    logging.set_verbosity(CRITICAL)
    logging.disable_progress_bar()
    try:
        yield
    finally:
        logging.set_verbosity(verbosity)
        if bars:
            logging.enable_progress_bar()
