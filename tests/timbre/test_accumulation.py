"""An update in parts is the update of the whole batch; a full memory makes more parts of it."""

from __future__ import annotations

import logging
from pathlib import Path

import pytest
import torch
from torch import Tensor

from data.batch import Batch
from data.errors import InputError
from timbre.accumulation import Part, split
from timbre.adversary import Adversary
from timbre.module import VoiceCloner
from timbre.randomness import Draw
from timbre.rundir import RunDir
from timbre.selection import rows_of
from timbre.terms import Outputs

EXACT = [
    "train.modules=[gpt,sovits]",
    "model/decoder=regression",
    "model.gpt.dropout=0",
    "optimizer=adagrad",
    "optimizer.name=SGD",
    "schedule.warmup=0",
    "objective.adv.r1_interval=1",
    "objective.weights.feature_matching=0",
    "objective.weights.pitch=0",
    "objective.kl.annealing.low=1",
    "objective.kl.free_nats=0",
]
"""Without what is no mean over items, frames or targets: feature matching is relative to the batch,
and pitch a mean over voiced frames.

With plain gradient steps, so that the weights show the gradients.
"""
VOCODER = [
    "train.modules=[vocoder]",
    *(word for word in EXACT[2:] if not word.startswith(("objective.adv", "objective.kl"))),
    "objective.wave_adv.r1_interval=1",
    "objective.weights.wave_feature_matching=0",
    "objective.weights.wave_stft=0",
    "objective.weights.f0=0",
    "objective.vocoder_gain_db=[0,0]",
    "optimizer.rates.vocoder=0.01",
]
"""The same for the vocoder: spectral convergence and the f0 of voiced frames are no such means."""


def learned(module: VoiceCloner) -> dict[str, Tensor]:
    return {name: p.detach() for name, p in module.named_parameters() if p.requires_grad}


@pytest.fixture(scope="module")
def whole(updated) -> VoiceCloner:
    return updated(*EXACT)


@pytest.fixture
def memory_for(monkeypatch):
    """`memory_for(items)`: running more items forward at once is out of memory."""

    def arrange(items: int, method: str = "forward_terms") -> list[int]:
        original, asked = getattr(VoiceCloner, method), []

        def limited(self: VoiceCloner, given: Batch | Outputs, *others):
            count = len(given) if isinstance(given, Batch) else len(given.mel.real)
            asked.append(count)
            if count > items:
                raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB")
            return original(self, given, *others)

        monkeypatch.setattr(VoiceCloner, method, limited)
        return asked

    return arrange


def assert_same(left: VoiceCloner, right: VoiceCloner) -> None:
    ours, theirs = learned(left), learned(right)
    for name, tensor in ours.items():
        torch.testing.assert_close(tensor, theirs[name], atol=2e-6, rtol=1e-4, msg=name)
    assert left.scalars.keys() == right.scalars.keys()
    for name, value in left.scalars.items():
        if not name.endswith(("feature_matching", "pitch", "wave_stft", "f0")):
            torch.testing.assert_close(value, right.scalars[name], atol=1e-5, rtol=1e-3, msg=name)


@pytest.mark.parametrize("parts", [2, 3, 8])
def test_parts_add_up_to_the_whole_batch(parts: int, whole: VoiceCloner, updated, batch) -> None:
    assert len(batch) == 3
    assert len(set(batch.mel_lengths.tolist())) > 1
    assert_same(updated(*EXACT, f"train.accumulate={parts}"), whole)


def test_parts_add_up_for_the_vocoder_whose_crops_are_equally_long(updated, monkeypatch) -> None:
    # It draws its noise and phases itself, others for each part.
    monkeypatch.setattr("vocoder.prior_istft._draw", lambda _, shape, *__: torch.zeros(shape))
    in_parts = updated(*VOCODER, "train.accumulate=2", updates=1)
    assert_same(in_parts, updated(*VOCODER, updates=1))


def test_shares_of_the_parts_are_those_of_their_data(batch: Batch) -> None:
    parts = list(split(batch, 2, Draw(torch.device("cpu")), "interleaved"))
    assert [part.batch.ids for part in parts] == [batch.ids[0::2], batch.ids[1::2]]
    assert batch.token_lengths is not None
    targets = batch.token_lengths + batch.phoneme_lengths
    for part, rows in zip(parts, (slice(0, None, 2), slice(1, None, 2)), strict=True):
        assert part.share("semantic") == pytest.approx(targets[rows].sum() / targets.sum())
        frames = batch.mel_lengths
        assert part.share("rec") == pytest.approx(frames[rows].sum() / frames.sum())
        assert part.share("kl") == part.share("wave_mel") == len(part.batch) / 3
        values = part.shared({"perceptual": torch.ones(()), "rec": torch.ones(())}, ["perceptual"])
        assert values["perceptual"] == pytest.approx(len(part.batch) / 3)
        assert values["rec"] == part.share("rec")
    (alone,) = split(batch, 1, Draw(torch.device("cpu")), "plain")
    assert alone.batch is batch
    assert {alone.share(name) for name in ("semantic", "rec", "kl")} == {1.0}


def test_items_draw_the_same_numbers_in_parts() -> None:
    torch.manual_seed(3)
    draw = Draw(torch.device("cpu"))
    whole = draw.normal(5, 4), draw.uniform(5)
    torch.manual_seed(3)
    draw = Draw(torch.device("cpu"))
    for rows in (torch.tensor([0, 2, 4]), torch.tensor([1, 3])):
        part = draw.of(rows, 5)
        torch.testing.assert_close(part.normal(len(rows), 4), whole[0][rows])
        torch.testing.assert_close(part.uniform(len(rows)), whole[1][rows])


def test_rows_of_a_batch_may_be_repeated(batch: Batch) -> None:
    chosen = rows_of(batch, torch.tensor([2, 0, 0]))
    assert chosen.ids == [batch.ids[2], batch.ids[0], batch.ids[0]]
    torch.testing.assert_close(chosen.mel, batch.mel[[2, 0, 0]])
    assert chosen.audio is not None
    torch.testing.assert_close(chosen.speaker, batch.speaker[[2, 0, 0]])


def test_a_full_memory_halves_the_parts_and_keeps_the_batch(
    whole: VoiceCloner, updated, memory_for, caplog
) -> None:
    caplog.set_level(logging.WARNING)
    asked = memory_for(2)
    module = updated(*EXACT)
    assert module.memory.parts == 2
    # Once too many; from then on each side of each update takes the parts one after the other.
    assert asked == [3, *[2, 1] * 4]
    assert caplog.text.count("from now on") == 1
    assert "in 2 parts of at most 2 items" in caplog.text
    assert "effective batch stays the same" in caplog.text
    assert_same(module, whole)


def test_a_memory_that_fills_up_later_does_not_teach_the_discriminators_twice(
    whole: VoiceCloner, updated, memory_for
) -> None:
    memory_for(1, "adversarial_terms")
    module = updated(*EXACT)
    assert module.memory.parts == 4
    assert_same(module, whole)


def test_what_an_attempt_kept_is_given_back_before_the_next(updated, monkeypatch) -> None:
    """The whole batch's graph beside the parts would make more and more parts necessary."""
    original, loss, kept = VoiceCloner.forward_part, Adversary.discriminator_loss, []

    def forward_part(self: VoiceCloner, part: Part) -> Outputs:
        kept.append(self._kept is not None)
        return original(self, part)

    def full(self: Adversary, real: Tensor, fake: Tensor, update: int) -> dict[str, Tensor]:
        if len(real) > 2:
            raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB")
        return loss(self, real, fake, update)

    monkeypatch.setattr(VoiceCloner, "forward_part", forward_part)
    monkeypatch.setattr(Adversary, "discriminator_loss", full)
    assert updated(*EXACT, updates=1).memory.parts == 2
    assert kept == [False] * 5


def test_when_not_even_one_utterance_fits_the_user_is_told(updated, memory_for) -> None:
    memory_for(0)
    with pytest.raises(InputError, match=r"single utterance.*2\.00 GiB.*shorter clips"):
        updated(*EXACT, updates=1)


def test_other_errors_are_not_taken_for_a_full_memory(updated, monkeypatch) -> None:
    def broken(self: VoiceCloner, *given) -> Outputs:
        raise RuntimeError("shapes do not match")

    monkeypatch.setattr(VoiceCloner, "forward_terms", broken)
    with pytest.raises(RuntimeError, match="shapes do not match"):
        updated(*EXACT, updates=1)


def test_the_parts_are_found_before_the_run_and_kept(
    train_here, resume_in, memory_for, caplog
) -> None:
    """The search itself changes nothing: the run is that of the number it finds."""
    asked = memory_for(2)
    words = ["train.updates=1", "train.modules=[gpt,sovits]", "data.workers=0", "schedule.warmup=0"]
    train_here(*words, "train.accumulate=0", "run.dir=found")
    assert "fits in 2 parts" in caplog.text
    found = torch.load(RunDir(Path("found")).last_checkpoint, weights_only=True)
    assert found["timbre"]["parts"] == 2
    train_here(*words, "train.accumulate=2", "run.dir=given")
    given = torch.load(RunDir(Path("given")).last_checkpoint, weights_only=True)
    assert all(torch.equal(t, found["state_dict"][n]) for n, t in given["state_dict"].items())
    asked.clear()
    resume_in(Path("found"), "train.updates=2")
    assert asked
    assert max(asked) <= 2
