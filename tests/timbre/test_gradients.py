"""Each term trains the modules that the table names, and no other."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn

from data.batch import Batch
from timbre.config import RunConfig
from timbre.module import VoiceCloner
from timbre.objective import DISCRIMINATOR_TERMS, OPTIONAL, TERMS
from timbre.rundir import RunDir

TOKENIZER = [term for term, modules in TERMS.items() if modules == ("tokenizer",)]
ACOUSTIC = [term for term in TERMS if term not in TOKENIZER]
DECODERS = {"regression": set(), "flow_matching": {"flow"}, "diffusion": {"diffusion"}}
"""Kinds of decoder and the terms of their own."""
GENERATING = {"policy", "preference"}
"""Optional terms that are made of what GPT says by itself (test_policy.py)."""
ENCODER_ONLY = {"semantic", "kl", "speaker", "contrastive"}
"""Terms of `sovits` that are made before the decoder: they train the speaker encoder alone."""


@pytest.fixture(scope="module")
def build(from_base: list[str], configured: Callable[..., RunConfig]) -> Callable[..., VoiceCloner]:
    """A training module in which every parameter takes gradients and none is zero at the start."""

    def make(modules: str, *overrides: str) -> VoiceCloner:
        torch.manual_seed(0)
        config = configured(*from_base, f"train.modules=[{modules}]", *overrides)
        module = VoiceCloner(config, speakers=2).train().requires_grad_()
        with torch.no_grad():
            for parameter in module.parameters():  # what starts at zero would hide a path
                parameter += 0.02 * torch.randn_like(parameter)
        return module

    return make


def parts(module: VoiceCloner) -> dict[str, nn.Module | None]:
    """Everything that has parameters, the two halves of `sovits` apart."""
    networks = module.networks
    return {
        "tokenizer": networks.tokenizer,
        "gpt": networks.gpt,
        "speaker_encoder": networks.sovits.speaker_encoder,
        "decoder": networks.sovits.decoder,
        "vocoder": networks.vocoder,
        "classifier": module.speaker_classifier,
        "mel_adversary": module.mel_adversary,
        "wave_adversary": module.wave_adversary,
    }


def reached(module: VoiceCloner, loss: Tensor) -> set[str]:
    """Names of the parts that a loss gives a gradient other than zero."""
    module.zero_grad(set_to_none=True)
    loss.backward(retain_graph=True)
    return {
        name
        for name, part in parts(module).items()
        if part is not None
        and any(p.grad is not None and p.grad.abs().sum() > 0 for p in part.parameters())
    }


def expected(term: str) -> set[str]:
    """The parts that `TERMS` names."""
    found = set(TERMS[term]) - {"sovits"}
    if "sovits" in TERMS[term]:
        found |= {"speaker_encoder"} if term in ENCODER_ONLY else {"speaker_encoder", "decoder"}
    return found | ({"classifier"} if term == "speaker" else set())


@pytest.mark.parametrize("term", TOKENIZER)
def test_tokenizer_terms_reach_the_tokenizer_alone(term, build, batch: Batch) -> None:
    module = build("tokenizer")
    assert reached(module, module.forward_terms(batch).terms[term]) == expected(term)


@pytest.mark.parametrize("decoder", DECODERS)
def test_terms_reach_the_modules_that_the_table_names(decoder, build, batch: Batch) -> None:
    module = build("gpt,sovits,vocoder", f"model/decoder={decoder}")
    others = set().union(*DECODERS.values()) - DECODERS[decoder]
    wanted = set(ACOUSTIC) - others - set(OPTIONAL)
    outputs = module.forward_terms(batch)
    module.adversarial_terms(outputs)
    assert set(outputs.terms) == wanted
    found = {term: reached(module, value) for term, value in outputs.terms.items()}
    assert found == {term: expected(term) for term in wanted}


@pytest.mark.parametrize("decoder", DECODERS)
@pytest.mark.parametrize("features", ["tokenizer", "discriminator"])
def test_optional_terms_reach_the_modules_that_the_table_names(
    decoder: str, features: str, build, batch: Batch
) -> None:
    """And never the network whose features they compare, unless it also made what is compared."""
    wanted = set(OPTIONAL) - GENERATING - ({"perceptual"} if decoder == "regression" else set())
    module = build(
        "gpt,sovits",
        f"model/decoder={decoder}",
        f"objective.perceptual.features={features}",
        *(f"objective.weights.{term}=1" for term in wanted | {"perceptual"}),
    )
    outputs = module.forward_terms(batch)
    module.adversarial_terms(outputs)
    assert set(OPTIONAL) & set(outputs.terms) == wanted
    found = {term: reached(module, outputs.terms[term]) for term in wanted}
    assert found == {term: expected(term) for term in wanted}
    assert all(outputs.terms[term] > 0 for term in wanted)


def test_the_kl_that_is_trained_reaches_the_speaker_encoder_alone(build, batch: Batch) -> None:
    for override in (
        "objective.kl.free_nats=0",
        "objective.kl.per_dimension=true",
        "objective.kl.capacity_nats=0.1",
    ):
        module = build("gpt,sovits", override)
        outputs = module.forward_terms(batch)
        assert reached(module, outputs.trained["kl"]) == {"speaker_encoder"}


def test_the_waveform_does_not_train_the_decoder_that_made_its_mel(build, batch: Batch) -> None:
    module = build("gpt,sovits,vocoder", "objective.vocoder_input=predicted")
    assert reached(module, module.forward_terms(batch).terms["wave_mel"]) == {"vocoder"}


@pytest.mark.parametrize("prefix", ["", "wave_"])
@pytest.mark.parametrize("term", ["disc", "r1", "gradient_penalty"])
def test_discriminator_terms_reach_their_discriminators_alone(
    prefix: str, term: str, build, batch: Batch
) -> None:
    assert f"{prefix}{term}" in DISCRIMINATOR_TERMS
    kinds = [f"objective.{name}.kind=wasserstein" for name in ("adv", "wave_adv")]
    module = build("gpt,sovits,vocoder", *kinds)
    outputs = module.forward_terms(batch)
    acting = {name: (adversary, crops) for name, adversary, crops in module.adversaries(outputs)}
    adversary, crops = acting[prefix]
    loss = adversary.discriminator_loss(crops.real, crops.fake, update=0)[term]
    assert reached(module, loss) == {f"{prefix or 'mel_'}adversary"}


def test_r1_comes_lazily_and_weighted_for_it(build) -> None:
    module = build("gpt,sovits", "objective.adv.r1_interval=4", "objective.adv.r1_weight=3")
    real, fake = torch.randn(2, 2, 100, 32)
    adversary = module.mel_adversary
    assert adversary is not None
    terms = [adversary.discriminator_loss(real, fake, update) for update in range(8)]
    assert ["r1" in each for each in terms] == [True, False, False, False] * 2
    assert adversary.total(terms[0]) == terms[0]["disc"] + 12 * terms[0]["r1"]


def test_the_sides_leave_each_others_gradients_alone(train_here, monkeypatch) -> None:
    """In real updates: neither side adds to nor clears the gradients of the other."""
    original, checked = VoiceCloner.in_parts, []

    def gradients(module: VoiceCloner, name: str) -> list[Tensor]:
        adversaries = [module.mel_adversary, module.wave_adversary]
        owners = [module.networks] if name == "generator" else adversaries
        return [
            torch.zeros(()) if p.grad is None else p.grad.clone()
            for owner in owners
            if owner is not None
            for p in owner.parameters()
        ]

    def in_parts(self: VoiceCloner, name: str, batch: Batch, compute) -> dict[str, Tensor]:
        other = "discriminator" if name == "generator" else "generator"
        before = gradients(self, other)
        result = original(self, name, batch, compute)
        after = gradients(self, other)
        assert all(torch.equal(a, b) for a, b in zip(before, after, strict=True))
        assert any(g.abs().sum() > 0 for g in gradients(self, name))
        checked.append((self.update, name, any(g.abs().sum() > 0 for g in before)))
        return result

    monkeypatch.setattr(VoiceCloner, "in_parts", in_parts)
    code, run = train_here("train.updates=2")
    assert code == 0
    assert isinstance(run, RunDir)
    assert checked == [
        (0, "discriminator", False),
        (0, "generator", True),
        (1, "discriminator", True),
        (1, "generator", True),
    ]


def test_freeze_steps_keep_discriminators_out(build, batch: Batch) -> None:
    module = build("gpt,sovits", "objective.adv.freeze_steps=3")
    outputs = module.forward_terms(batch)
    acting = []
    for module.update in range(5):
        acting.append(bool(module.adversaries(outputs)))
    assert acting == [False, False, False, True, True]
