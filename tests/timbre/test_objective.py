"""The objective is a sum of named terms with weights of the same names."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import fields

import pytest
import torch

from data.errors import InputError
from losses.schedules import Annealing
from timbre.config import RunConfig
from timbre.metrics import read_metrics
from timbre.objective import (
    MODULES,
    TERMS,
    KLConfig,
    Objective,
    ObjectiveConfig,
    TermWeights,
    active_terms,
)


def test_every_term_has_a_weight_and_every_weight_a_term() -> None:
    assert {f.name for f in fields(TermWeights)} == set(TERMS)
    assert {module for modules in TERMS.values() for module in modules} == set(MODULES)


def test_total_is_the_weighted_sum() -> None:
    objective = Objective(ObjectiveConfig(weights=TermWeights(rec=2.0, adv=0.5)))
    terms = {"rec": torch.tensor(3.0), "adv": torch.tensor(4.0)}
    assert objective.total(terms, update=0).item() == 8.0


def test_a_term_of_weight_zero_is_not_trained_on() -> None:
    objective = Objective(ObjectiveConfig(weights=TermWeights(adv=0.0)))
    rec, adv = torch.tensor(3.0, requires_grad=True), torch.tensor(float("nan"), requires_grad=True)
    total = objective.total({"rec": rec, "adv": adv}, update=0)
    total.backward()
    assert total.item() == 3.0
    assert adv.grad is None


def test_an_unknown_term_raises_with_the_names_there_are() -> None:
    with pytest.raises(KeyError, match=r"unknown term 'reck'.*rec.*wave_mel"):
        Objective(ObjectiveConfig()).total({"reck": torch.tensor(1.0)}, update=0)


def test_an_unknown_weight_is_refused_with_the_names_there_are(
    configured: Callable[..., RunConfig],
) -> None:
    with pytest.raises(InputError, match=r"objective\.weights\.reck.*Did you mean 'rec'.*wave_mel"):
        configured("objective.weights.reck=2")


def test_nothing_to_train_is_an_error() -> None:
    with pytest.raises(ValueError, match="every term has weight 0"):
        Objective(ObjectiveConfig(weights=TermWeights(rec=0.0))).total(
            {"rec": torch.tensor(1.0)}, 0
        )


def test_kl_is_annealed_from_zero_to_its_weight() -> None:
    annealing = Annealing(kind="linear", updates=10)
    objective = Objective(
        ObjectiveConfig(weights=TermWeights(kl=3.0), kl=KLConfig(annealing=annealing))
    )
    weights = [objective.weight("kl", update) for update in range(12)]
    assert weights[0] == 0.0
    assert weights[5] == pytest.approx(1.5)
    assert weights[10:] == [3.0, 3.0]
    assert weights == sorted(weights)
    assert objective.weight("rec", 0) == objective.weight("rec", 11)


def test_active_terms_follow_the_trained_modules() -> None:
    assert active_terms(["tokenizer"]) == ["ctc", "tokenizer_rec"]
    assert "kl" not in active_terms(["gpt"])
    assert {"kl", "speaker", "rec"} <= set(active_terms(["sovits"]))
    assert set(active_terms(["vocoder"])) == {name for name in TERMS if TERMS[name] == ("vocoder",)}
    assert set(active_terms(list(MODULES))) == set(TERMS)
    with pytest.raises(ValueError, match="give one or more of tokenizer, gpt, sovits, vocoder"):
        active_terms(["vocoda"])


def test_a_term_of_weight_zero_is_still_reported(train_here) -> None:
    code, run = train_here("train.updates=1", "train.modules=[vocoder]", "objective.weights.f0=0")
    assert code == 0
    values = {name.removeprefix("train/"): x for name, x in read_metrics(run.metrics)[-1].items()}
    total = 2 * values["wave_mel"] + values["wave_stft"]
    total += values["wave_adv"] + 2 * values["wave_feature_matching"]
    assert values["f0"] > 0
    assert values["total"] == pytest.approx(total, rel=1e-4)
