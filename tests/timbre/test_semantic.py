"""GPT's semantic loss: kinds, the weight of ends, and distillation from a teacher."""

from __future__ import annotations

import copy
from collections.abc import Callable
from dataclasses import replace

import pytest
import torch

from data.batch import Batch
from data.errors import InputError
from gpt.model import GPTOutputs
from losses.classification import IGNORE, cross_entropy
from timbre.bundle import Bundle
from timbre.module import VoiceCloner
from timbre.rundir import RunDir
from timbre.semantic import SemanticConfig, SemanticLoss
from timbre.teacher import check_teacher

CODES = 5


def outputs(seed: int = 0) -> GPTOutputs:
    generator = torch.Generator().manual_seed(seed)
    logits = torch.randn(2, 7, CODES + 1, generator=generator, requires_grad=True)
    targets = torch.randint(CODES + 1, (2, 7), generator=generator)
    targets[1, 4:] = IGNORE
    return GPTOutputs(logits, targets, torch.zeros(2, 3, 4))


def test_the_default_is_smoothed_cross_entropy(batch: Batch) -> None:
    given = outputs()
    loss = SemanticLoss(SemanticConfig())(given, batch)
    torch.testing.assert_close(loss, cross_entropy(given.logits, given.targets, 0.05))
    assert SemanticLoss(SemanticConfig()).reports(given) == {}


def test_other_kinds_report_the_cross_entropy_as_well(batch: Batch) -> None:
    given = outputs()
    for kind in ("focal", "categorical_hinge", "adaptive_label_smoothing"):
        reports = SemanticLoss(SemanticConfig(kind=kind)).reports(given)
        torch.testing.assert_close(
            reports["cross_entropy"], cross_entropy(given.logits.detach(), given.targets)
        )


def test_the_end_of_a_phoneme_may_count_more(batch: Batch) -> None:
    """Each class then counts by its weight, divided by the sum of the weights of all targets."""
    given = outputs()
    loss = SemanticLoss(SemanticConfig(kind="cross_entropy", end_weight=3.0))(given, batch)
    valid = given.targets != IGNORE
    each = torch.nn.functional.cross_entropy(
        given.logits[valid], given.targets[valid], reduction="none"
    )
    weights = torch.where(given.targets[valid] == CODES, 3.0, 1.0)
    assert (weights == 3).any()
    torch.testing.assert_close(loss, (each * weights).sum() / weights.sum())


@pytest.fixture
def teaching(updated, base: Bundle) -> Callable[..., VoiceCloner]:
    """A student without dropout and without noise in z_spk, that begins as its teacher."""

    def make(share: float, updates: int = 0) -> VoiceCloner:
        return updated(
            "objective.semantic.kind=distillation",
            "objective.semantic.teacher=base",
            f"objective.semantic.teacher_share={share}",
            "model.gpt.dropout=0",
            "train.modules=[gpt]",
            "schedule.warmup=0",
            "optimizer.rates.gpt=3e-3",
            teacher=base.networks,
            updates=updates,
        )

    return make


def test_a_student_that_is_its_teacher_has_nothing_to_learn_from_it(teaching, batch) -> None:
    module = teaching(0.25)
    draw = module.draw()
    terms = module.acoustic_terms(module.networks, None, batch, draw, sample=False)
    hard = SemanticLoss(SemanticConfig())
    module.acoustic_terms.semantic = hard
    plain = module.acoustic_terms(module.networks, None, batch, draw, sample=False)
    torch.testing.assert_close(terms.terms["semantic"], 0.75 * plain.terms["semantic"])


def test_a_student_learns_its_teachers_distribution(teaching, base: Bundle, batch) -> None:
    """The student's GPT is disturbed first; the teacher is not changed by teaching."""
    before = copy.deepcopy(base.networks.state_dict())
    module = teaching(1.0)
    with torch.no_grad():
        for parameter in module.networks.gpt.parameters():
            parameter += 0.05 * torch.randn_like(parameter)
    optimizer = torch.optim.Adam(module.networks.gpt.parameters(), lr=3e-3)
    losses = []
    for _ in range(25):
        draw = module.draw()
        terms = module.acoustic_terms(module.networks, None, batch, draw, sample=False)
        losses.append(terms.terms["semantic"].item())
        optimizer.zero_grad()
        terms.terms["semantic"].backward()
        optimizer.step()
    assert losses[-1] < 0.3 * losses[0]
    after = base.networks.state_dict()
    assert all(torch.equal(tensor, after[name]) for name, tensor in before.items())
    assert all(p.grad is None for p in base.networks.gpt.parameters())


def test_distillation_from_a_bundle_runs(train_here, base_run: RunDir) -> None:
    code, _ = train_here(
        "objective.semantic.kind=distillation",
        f"objective.semantic.teacher={base_run.voice}",
        "train.updates=1",
        "train.modules=[gpt]",
        "model.gpt.layers=2",
        "init_parts.gpt=none",
    )
    assert code == 0


def test_a_teacher_must_mean_the_same_by_its_tokens(base: Bundle) -> None:
    audio = base.audio
    check_teacher(base, base.networks, audio)
    other = copy.deepcopy(base.networks)
    with torch.no_grad():
        next(other.tokenizer.parameters()).add_(1.0)
    with pytest.raises(InputError, match=r"another tokenizer.*init_parts\.tokenizer"):
        check_teacher(base, other, audio)
    with pytest.raises(InputError, match="was trained on"):
        check_teacher(base, base.networks, replace(audio, mel_channels=80))
    other.gpt.config = replace(other.gpt.config, layout="plain")
    with pytest.raises(InputError, match="plain layout"):
        check_teacher(base, other, audio)


@pytest.mark.parametrize(
    ("change", "advice"),
    [
        ({"kind": "hinge"}, "categorical_hinge"),
        ({"kind": "distillation"}, "teacher=BUNDLE"),
        ({"teacher": "base"}, "kind=distillation"),
        ({"end_weight": 2.0, "kind": "focal"}, "goes with cross_entropy"),
        ({"label_smoothing": 1.0}, r"\[0, 1\)"),
        ({"temperature": 0.0}, "above 0"),
    ],
)
def test_impossible_losses_are_refused(change: dict, advice: str) -> None:
    with pytest.raises(ValueError, match=advice):
        SemanticConfig(**change)
