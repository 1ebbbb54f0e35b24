"""Settings that no optimizer can have are refused before anything is trained."""

from __future__ import annotations

import pytest

from data.errors import InputError
from timbre.commands import compose
from timbre.config import RunConfig, parse


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("optimizer.options.weight_decay=-1", "options: AdamW says: Invalid weight_decay.*-1"),
        ("optimizer.options.weight_decay=much", "optimizer.options: AdamW says: "),
        ("optimizer.options.betas=[0.9]", "optimizer.options: AdamW says: "),
        ("+optimizer.options.lr=1e-3", "optimizer.options.lr would be ignored.*optimizer.rates"),
        ("optimizer.rates.gpt=-1", "optimizer.rates.gpt is -1.*give a number, 0 or above"),
        ("optimizer.rates.vocoder=nan", "optimizer.rates.vocoder is nan"),
    ],
)
def test_impossible_settings_are_refused(override: str, message: str) -> None:
    with pytest.raises(InputError, match=message):
        parse(RunConfig, compose("train", [override]))
