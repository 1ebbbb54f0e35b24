"""GPT learns from what it says by itself: rewarded readings, and preferred ones."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from data.batch import Batch
from gpt.decoding import Generated
from losses.negatives import damage_spans
from timbre.bundle import Bundle
from timbre.module import VoiceCloner
from timbre.policy import Judged, PolicyConfig, PolicyTerms, judge
from timbre.preference import PreferenceConfig, PreferenceTerms, durations_of
from timbre.selection import rows_of

GPT_ALONE = ["train.modules=[gpt]", "model.gpt.dropout=0"]


@pytest.fixture
def learner(updated) -> VoiceCloner:
    """A GPT that ends each phoneme after two tokens: untrained ones never do by themselves."""
    module = updated(*GPT_ALONE, "objective.weights.policy=1", updates=0)
    gpt = module.networks.gpt
    gpt.config = replace(gpt.config, max_tokens_per_phoneme=2)
    module.reference_gpt.config = gpt.config
    return module


def gradients(module: VoiceCloner) -> set[str]:
    return {
        name.split(".")[1]
        for name, parameter in module.named_parameters()
        if name.startswith("networks.") and parameter.grad is not None and parameter.grad.any()
    }


def test_readings_are_judged_for_words_voice_and_pace(learner, batch: Batch) -> None:
    """The recordings' own tokens, spoken: errors and likeness in range, pace exactly theirs."""
    networks = learner.networks.eval()
    assert batch.tokens is not None
    assert batch.token_lengths is not None
    z_spk = networks.sovits(batch.reference, batch.reference_lengths).detach()
    latents = torch.randn(*batch.tokens.shape, networks.gpt.config.width)
    spoken = Generated(batch.tokens, batch.token_lengths, batch.durations, latents)
    with torch.no_grad():
        judged = judge(networks, batch, spoken, z_spk, torch.Generator().manual_seed(0))
    assert ((judged.errors >= 0) & (judged.errors <= 1)).all()
    assert (judged.similarities.abs() <= 1 + 1e-5).all()
    assert torch.equal(judged.rates, torch.zeros(len(batch)))
    tokens, latents = batch.tokens.repeat(1, 2), latents.repeat(1, 2, 1)
    twice = Generated(tokens, 2 * batch.token_lengths, None, latents)
    with torch.no_grad():
        judged = judge(networks, batch, twice, z_spk, torch.Generator().manual_seed(0))
    torch.testing.assert_close(judged.rates, torch.full((len(batch),), 2.0).log())


def test_the_reward_is_the_weighted_sum() -> None:
    judged = Judged(torch.tensor([0.5]), torch.tensor([0.8]), torch.tensor([-0.2]))
    config = PolicyConfig(error_weight=2.0, similarity_weight=3.0, rate_weight=5.0)
    torch.testing.assert_close(judged.reward(config), torch.tensor([3 * 0.8 - 2 * 0.5 - 5 * 0.2]))


def test_only_gpt_learns_and_only_the_reports_say_how(learner, batch: Batch) -> None:
    terms, reports = PolicyTerms(PolicyConfig(prompts=2, samples=3))(
        learner.networks, learner.reference_gpt, batch, torch.Generator().manual_seed(0)
    )
    terms["policy"].backward()
    assert gradients(learner) == {"gpt"}
    names = {"reward", "policy_error", "policy_similarity", "policy_rate", "policy_kl"}
    assert set(reports) == names
    assert not any(value.requires_grad for value in reports.values())
    assert abs(reports["policy_kl"]) < 1e-5  # it is still the GPT that it began with


def test_what_is_rewarded_becomes_likelier(learner, batch: Batch, monkeypatch) -> None:
    """Rewarded for the share of even tokens, GPT says more and more of them."""

    def rewarding_even(networks, batch, spoken, z_spk, generator) -> Judged:
        mask = torch.arange(spoken.tokens.shape[1]) < spoken.token_lengths[:, None]
        even = ((spoken.tokens % 2 == 0) & mask).sum(1) / mask.sum(1)
        return Judged(1 - even, torch.zeros_like(even), torch.zeros_like(even))

    monkeypatch.setattr("timbre.policy.judge", rewarding_even)
    config = PolicyConfig(prompts=2, samples=8, reference_weight=0.0)
    with torch.no_grad():
        for gpt in (learner.networks.gpt, learner.reference_gpt):
            gpt.head.bias.fill_(-20.0)
            gpt.head.bias[:4] = 0.0  # four tokens only, so that few readings tell enough
    optimizer = torch.optim.Adam(learner.networks.gpt.parameters(), lr=1e-2)
    errors = []
    for step in range(8):
        generator = torch.Generator().manual_seed(step)
        given = (learner.networks, learner.reference_gpt, batch, generator)
        terms, reports = PolicyTerms(config)(*given)
        errors.append(reports["policy_error"].item())
        optimizer.zero_grad()
        terms["policy"].backward()
        optimizer.step()
    assert errors[0] > 0.4
    assert errors[-1] < 0.2
    assert reports["policy_kl"] > 0.05


def test_damaged_readings_keep_their_phonemes_tokens(batch: Batch) -> None:
    assert batch.tokens is not None
    assert batch.token_lengths is not None
    assert batch.durations is not None
    generator = torch.Generator().manual_seed(0)
    damaged = damage_spans(batch.tokens, batch.token_lengths, generator)
    durations = durations_of(damaged.sources, damaged.lengths, batch.durations)
    assert torch.equal(durations.sum(1), damaged.lengths)
    owners = [
        torch.repeat_interleave(torch.arange(len(row)), row).tolist() for row in batch.durations
    ]
    for item, (sources, length) in enumerate(zip(damaged.sources, damaged.lengths, strict=True)):
        counted = torch.zeros_like(batch.durations[item])
        for source in sources[:length].tolist():
            counted[owners[item][source]] += 1
        assert torch.equal(durations[item], counted)


def test_the_recording_becomes_preferred(updated, batch: Batch) -> None:
    module = updated(*GPT_ALONE, "objective.weights.preference=1", updates=0)
    terms = PreferenceTerms(PreferenceConfig(beta=2.0))
    optimizer = torch.optim.Adam(module.networks.gpt.parameters(), lr=3e-3)
    losses, margins = [], []
    for _ in range(15):
        generator = torch.Generator().manual_seed(0)
        found, reports = terms(module.networks, module.reference_gpt, batch, generator)
        losses.append(found["preference"].item())
        margins.append(reports["preference_margin"].item())
        optimizer.zero_grad()
        found["preference"].backward()
        optimizer.step()
    assert gradients(module) == {"gpt"}
    assert losses[0] == pytest.approx(0.6931, abs=1e-3)  # ln 2: no preference yet
    assert margins[0] == pytest.approx(0.0, abs=1e-4)
    assert losses[-1] < 0.4
    assert margins[-1] > 0.3
    assert reports["preference_accuracy"] == 1.0


def test_items_of_a_single_token_have_no_bad_reading(updated, batch: Batch) -> None:
    module = updated(*GPT_ALONE, "objective.weights.preference=1", updates=0)
    short = rows_of(batch, torch.tensor([0, 1]))
    assert short.token_lengths is not None
    assert short.durations is not None
    short.token_lengths[1] = 1
    short.durations[1] = 0
    short.durations[1, 0] = 1
    generator = torch.Generator().manual_seed(0)
    terms, _ = PreferenceTerms(PreferenceConfig())(
        module.networks, module.reference_gpt, short, generator
    )
    assert terms["preference"].isfinite()


@pytest.mark.parametrize("experiment", ["gpt_policy", "gpt_dpo"])
def test_the_experiments_train_gpt_and_keep_where_it_began(
    experiment: str, train_here, resume_in, base: Bundle
) -> None:
    """A resumed run compares with the GPT of its beginning, not with the one it goes on with."""
    code, run = train_here(
        f"experiment={experiment}",
        "train.updates=2",
        *GPT_ALONE,
        "objective.policy.prompts=1",
        "objective.policy.samples=2",
        "schedule.warmup=0",
        "optimizer.rates.gpt=1e-3",
    )
    assert code == 0
    first = torch.load(run.last_checkpoint, weights_only=True)["state_dict"]
    resume_in(run.folder, "train.updates=3")
    second = torch.load(run.last_checkpoint, weights_only=True)["state_dict"]
    began = base.networks.gpt.state_dict()
    for name, tensor in began.items():
        assert torch.equal(second[f"reference_gpt.{name}"], tensor)
    assert any(not torch.equal(first[f"networks.gpt.{name}"], began[name]) for name in began)
    others = [n for n in first if n.startswith("networks.") and ".gpt." not in n]
    assert all(torch.equal(first[n], second[n]) for n in others)
    header = (run.folder / "metrics.csv").read_text().splitlines()[0].split(",")
    term = {"gpt_policy": "policy", "gpt_dpo": "preference"}[experiment]
    assert f"train/weighted/{term}" in header


def test_impossible_settings_are_refused() -> None:
    for change, advice in (
        ({"samples": 1}, "samples >= 2"),
        ({"error_weight": 0.0, "similarity_weight": 0.0, "rate_weight": 0.0}, "above 0"),
        ({"reference_weight": -1.0}, "0 or more"),
    ):
        with pytest.raises(ValueError, match=advice):
            PolicyConfig(**change)
    with pytest.raises(ValueError, match="above 0"):
        PreferenceConfig(beta=0.0)
