"""Entries of `losses` that would be one method under two labels, said at planning."""

from collections.abc import Callable
from typing import Any

import pytest

Raw = dict[str, Any]
Errors = Callable[[Any], list[str]]
NO_ATTENTION = {"loss_weights": {"attention": 0.0}}


@pytest.mark.parametrize(
    ("entry", "said"),
    [
        (
            {"name": "amad", "temperature": 1, "label": "soft"},
            "losses[4]: 'soft' is 'amad_kl' (losses[3]) under another label; remove one",
        ),
        (
            {"name": "amad", "label": "heavy", "loss_weights": {"attention": 1.0}},
            "losses[4]: 'heavy' is 'amad_kl' (losses[3]) under another label; remove one",
        ),
        (
            {"name": "student_mean", **NO_ATTENTION},
            "losses[4]: 'student_mean' is 'logit_kd' (losses[1]) under another label; remove one",
        ),
        (
            {"name": "amad", "label": "off", "loss_weights": {"attention": 0.0, "logit_kd": 0.0}},
            "losses[4]: 'off' is 'ce' (losses[0]) under another label; remove one",
        ),
        (
            {"name": "tinybert", "attention": False},
            "losses[4].attention: hidden states alone are the loss hidden_mse, write that one; remove it",
        ),
    ],
)
def test_one_method_has_one_label(raw: Raw, errors: Errors, entry: Raw, said: str) -> None:
    raw["losses"].append(entry)
    assert errors(raw) == [said]


@pytest.mark.parametrize(
    "entry",
    [
        {"name": "amad", "temperature": 0.1, "label": "sharp"},
        {"name": "amad", "label": "heavy", "loss_weights": {"attention": 2.0}},
        {"name": "amad", "label": "via_4", "assistant": {"heads": 4, "loss": "amad_kl"}},
        {"name": "logit_kd", "temperature": 4, "label": "hot"},
        {"name": "student_mean", "loss_weights": {"attention": 0.0, "logit_kd": 0.5}},
    ],
)
def test_other_methods_stay(raw: Raw, load: Callable[[Any], Any], entry: Raw) -> None:
    raw["losses"].append(entry)
    assert len(load(raw).losses) == 5
