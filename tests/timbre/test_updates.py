"""What one update changes: learning rates, frozen modules, clipping, losses that are no numbers."""

from __future__ import annotations

from unittest.mock import Mock

import lightning
import pytest
import torch
from torch import Tensor

from losses.schedules import RateSchedule
from timbre.bundle import load_bundle
from timbre.callbacks.control import Control
from timbre.metrics import read_metrics
from timbre.module import VoiceCloner
from timbre.optimization import warmed_average
from timbre.stepping import NonFiniteLossError
from timbre.terms import Outputs

RATES = [
    "optimizer.rates.gpt=1e-3",
    "optimizer.rates.sovits=2e-3",
    "optimizer.rates.vocoder=3e-3",
    "optimizer.rates.discriminators=4e-3",
    "schedule=cosine",
    "schedule.warmup=2",
]


def weights(path, prefix: str = "networks.") -> dict[str, Tensor]:
    state = torch.load(path, weights_only=True)["state_dict"]
    return {name: tensor for name, tensor in state.items() if name.startswith(prefix)}


def changed_modules(before: dict[str, Tensor], after: dict[str, Tensor]) -> set[str]:
    return {
        name.split(".")[0]
        for name, tensor in after.items()
        if not torch.equal(tensor, before[name])
    }


def test_each_module_has_its_rate_and_all_follow_the_schedule(train_here) -> None:
    _, run = train_here("train.updates=4", *RATES)
    rows = read_metrics(run.metrics)[1:]
    schedule = RateSchedule(kind="cosine", warmup=2, updates=4, final=0.05)
    peaks = {"gpt": 1e-3, "sovits": 2e-3, "vocoder": 3e-3, "discriminators": 4e-3}
    assert len(rows) == 4
    for update, row in enumerate(rows):
        for module, peak in peaks.items():
            assert row[f"rate/{module}"] == pytest.approx(peak * schedule.at(update), rel=1e-4)


def test_all_processes_count_the_minutes_of_the_slowest(configured) -> None:
    """Rates and the last update follow from them: they must be equal everywhere."""
    module, control = VoiceCloner(configured("train.minutes=10"), speakers=2), Control()
    trainer = Mock(spec=lightning.Trainer, world_size=2, should_stop=False)
    trainer.strategy.root_device = torch.device("cpu")
    for others, stops in ((9.5, False), (10.0, True)):
        other = torch.tensor([others, 0.0], dtype=torch.float64)
        trainer.strategy.reduce = lambda own, reduce_op, other=other: torch.maximum(own, other)
        control.on_train_start(trainer, module)
        control.on_train_batch_end(trainer, module, None, None, 0)
        control.teardown(trainer, module, "fit")
        assert (module.minutes, trainer.should_stop) == (pytest.approx(others, abs=0.1), stops)
    assert control.received is None


@pytest.mark.parametrize("modules", ["gpt", "sovits", "vocoder", "tokenizer"])
def test_only_the_named_modules_change(modules: str, train_here, base_run) -> None:
    code, run = train_here("train.updates=1", f"train.modules=[{modules}]", "schedule.warmup=0")
    assert code == 0
    before = load_bundle(base_run.voice).networks.state_dict()
    after = load_bundle(run.voice).networks.state_dict()
    # A trained tokenizer hears other symbols: its prior is measured anew.
    beside = {"alignment_prior"} if modules == "tokenizer" else set()
    assert changed_modules(before, after) == {modules} | beside


def test_gradients_are_clipped_per_optimizer(train_here, monkeypatch) -> None:
    original, norms = VoiceCloner.step, []

    def step(self: VoiceCloner, name: str, loss: Tensor) -> dict[str, Tensor]:
        result = original(self, name, loss)
        groups = self.optimizer_named(name).param_groups
        parameters = [p for group in groups for p in group["params"]]
        squares = [p.grad.square().sum() for p in parameters if p.grad is not None]
        norms.append((name, torch.stack(squares).sum().sqrt().item(), result))
        return result

    monkeypatch.setattr(VoiceCloner, "step", step)
    train_here(
        "train.updates=1", "optimizer.generator_clip=0.01", "optimizer.discriminator_clip=0.02"
    )
    assert [name for name, _, _ in norms] == ["discriminator", "generator"]
    for (name, norm, result), limit in zip(norms, (0.02, 0.01), strict=True):
        assert result[f"{name}_gradient_norm"].item() > limit  # logged as it was before clipping
        assert norm == pytest.approx(limit, rel=1e-3)


@pytest.fixture
def poisoned(monkeypatch):
    """`poisoned(updates, term)`: the term is not a number in these updates."""
    original = VoiceCloner.forward_terms

    def arrange(updates: range, term: str = "semantic") -> None:
        def forward_terms(self: VoiceCloner, batch, draw=None) -> Outputs:
            outputs = original(self, batch, draw)
            if self.update in updates:
                outputs.terms[term] = outputs.terms[term] * float("nan")
            return outputs

        monkeypatch.setattr(VoiceCloner, "forward_terms", forward_terms)

    return arrange


def test_a_loss_that_is_no_number_skips_its_step_only(train_here, poisoned, caplog) -> None:
    poisoned(range(1, 3))
    code, run = train_here("train.updates=4", "train.save_updates=1", "train.max_non_finite=3")
    assert code == 0
    assert "update 1: loss or gradient of the generator not finite" in caplog.text
    assert "(2 in a row, stops at 3)" in caplog.text
    assert all(tensor.isfinite().all() for tensor in weights(run.last_checkpoint).values())
    assert len(read_metrics(run.metrics)) == 5


def test_ten_in_a_row_stop_the_run_with_the_last_good_weights(train_here, poisoned, caplog) -> None:
    """The discriminators are well all the time: their good steps must not reset the count."""
    poisoned(range(1, 100))
    with pytest.raises(NonFiniteLossError, match=r"Halve the learning rates \(optimizer\.rates"):
        train_here("train.updates=50")
    assert caplog.text.count("not finite; skipped") == 10
    _, run = train_here("train.updates=1", "run.dir=good")
    stopped = weights(run.folder.parent / "run" / "checkpoints" / "last.ckpt")
    assert not changed_modules(weights(run.folder.parent / "good/checkpoints/last.ckpt"), stopped)


def test_the_average_forgets_its_random_start() -> None:
    average = warmed_average(0.999)
    averaged = [torch.full((1,), 100.0)]
    for count in range(1, 200):
        average(averaged, [torch.zeros(1)], torch.tensor(count))
    assert averaged[0].item() < 0.1  # a fixed decay would still hold 82


def test_the_average_is_what_is_judged_and_saved(train_here) -> None:
    _, run = train_here("train.updates=3", "train.average_decay=0.9", "schedule.warmup=0")
    saved = load_bundle(run.voice).networks.state_dict()
    trained = weights(run.last_checkpoint)
    for name, tensor in weights(run.last_checkpoint, "average.module.").items():
        name = name.removeprefix("average.module.")
        # Bundles hold 16 bits.
        assert torch.equal(saved[name], tensor.half().to(tensor.dtype)), name
        same = torch.equal(tensor, trained[f"networks.{name}"])
        is_trained = name.startswith(("gpt.", "sovits.", "vocoder."))
        assert same or is_trained, f"{name} is not trained"
    assert any(
        not torch.equal(saved[name.removeprefix("networks.")], t.half().to(t.dtype))
        for name, t in trained.items()
    )
