"""Low-rank updates: exact, alone in what they train, and unseen by whoever takes the networks."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import Tensor

from data.batch import Batch
from data.errors import InputError
from timbre.accumulation import Part, split
from timbre.bundle import Bundle, load_bundle
from timbre.config import RunConfig
from timbre.lora import Adapter, Adapters, LoraConfig
from timbre.module import VoiceCloner
from timbre.optimization import build_optimizers
from timbre.rundir import RunDir
from timbre.synthesizer import Synthesizer

MODULES = "train.modules=[gpt,sovits]"
LORA = [MODULES, "train.lora.rank=2", "train.lora.alpha=3", "schedule.warmup=0"]
UPDATES = 3


@pytest.fixture
def start(base_run: RunDir) -> dict[str, Tensor]:
    """The weights that every run here begins with."""
    return load_bundle(base_run.voice).networks.state_dict()


@pytest.fixture
def make(
    base: Bundle, from_base, configured: Callable[..., RunConfig]
) -> Callable[..., VoiceCloner]:
    """`make(*overrides)`: a training module around the tiny base, before its first update."""

    def made(*overrides: str) -> VoiceCloner:
        torch.manual_seed(0)
        return VoiceCloner(configured(*from_base, *overrides), 2, base.networks).train()

    return made


@pytest.fixture(scope="module")
def straight(tmp_path_factory, from_base, train_in) -> RunDir:
    """A whole run."""
    folder = tmp_path_factory.mktemp("lora")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        patch.setattr("timbre.report.plot_curves", lambda path, rows: None)
        code, run = train_in(folder / "run", *from_base, *LORA, f"train.updates={UPDATES}")
    assert code == 0
    return run


def whole(module: VoiceCloner, batch: Batch) -> Part:
    """The batch as one part."""
    return next(iter(split(batch, 1, module.draw(), module.networks.gpt.config.layout)))


def checkpoint(run: RunDir) -> dict[str, Tensor]:
    state: dict[str, Tensor] = torch.load(run.last_checkpoint, weights_only=True)["state_dict"]
    return state


def test_the_weight_is_the_start_and_the_scaled_product() -> None:
    start, x = torch.randn(5, 3), torch.randn(4, 3)
    adapter = Adapter(start, rank=2, scale=0.5)
    assert torch.equal(adapter(), start)
    torch.nn.init.normal_(adapter.up)
    expected = x @ start.T + 0.5 * (x @ adapter.down.T) @ adapter.up.T
    exact = adapter()
    torch.testing.assert_close(x @ exact.T, expected)
    with torch.autocast("cpu", torch.bfloat16):
        assert torch.equal(adapter(), exact)


def test_at_first_nothing_changes(make, batch: Batch) -> None:
    plain = make(MODULES)
    expected = plain.forward_part(whole(plain, batch)).terms
    module = make(*LORA)
    terms = module.forward_part(whole(module, batch)).terms
    assert {name: term.item() for name, term in terms.items()} == {
        name: term.item() for name, term in expected.items()
    }


def test_merged_networks_compute_what_is_trained_and_every_update_learns(
    make, batch: Batch
) -> None:
    module = make(*LORA)
    for adapter in module.adapters.layers:
        torch.nn.init.normal_(adapter.up, std=0.15)
    part = whole(module, batch)
    untouched = module(part).terms
    trained = module.forward_part(part).terms
    torch.stack([term for term in trained.values() if term.requires_grad]).sum().backward()
    for name, adapter in zip(module.adapters.names, module.adapters.layers, strict=True):
        assert adapter.up.grad.any(), name
        assert adapter.down.grad.any(), name
        assert module.networks.get_parameter(name).grad is None
    module.adapters.merge(module.networks)
    merged = module(part).terms
    for name, term in merged.items():
        torch.testing.assert_close(term, trained[name], rtol=1e-5, atol=1e-5)
    assert abs(untouched["rec"] - merged["rec"]) > 1e-3


def test_a_run_trains_the_updates_and_ships_their_sum(straight: RunDir, start) -> None:
    state, bundle = checkpoint(straight), load_bundle(straight.voice)
    saved = bundle.networks.state_dict()
    adapted = Adapters(bundle.networks, LoraConfig(rank=2), ["gpt", "sovits"]).names
    for number, name in enumerate(adapted):
        up, down, first = (
            state[f"adapters.layers.{number}.{part}"] for part in ("up", "down", "start")
        )
        assert torch.equal(first, start[name])
        assert up.any()
        torch.testing.assert_close(state[f"networks.{name}"], first + 3 / 2 * up @ down)
        torch.testing.assert_close(saved[name], state[f"networks.{name}"].half().float())
    moved = {name for name, tensor in start.items() if not torch.equal(tensor, saved[name])}
    assert moved
    assert moved <= set(adapted)
    report = straight.report.read_text("utf-8")
    assert "gpt, sovits by LoRA of rank 2, 0." in report
    assert "parameters, without sovits.speaker_encoder;" in report


def test_the_voice_speaks(straight: RunDir) -> None:
    assert len(Synthesizer(load_bundle(straight.voice), speaker="ada").speak("Hello.")) > 0


def test_stopped_and_resumed_is_straight(
    straight: RunDir, train_here, resume_in, signal_at
) -> None:
    signal_at(2, "gpt")
    code, run = train_here(*LORA, f"train.updates={UPDATES}")
    assert code == 130
    code, run = resume_in(run.folder)
    assert code == 0
    expected, found = checkpoint(straight), checkpoint(run)
    assert expected.keys() == found.keys()
    assert not [name for name in expected if not torch.equal(expected[name], found[name])]


def test_the_moving_average_is_of_the_sums(updated, start) -> None:
    module = updated(*LORA, "train.average_decay=0.5")
    averaged, last = module.average.module.state_dict(), module.networks.state_dict()
    name, frozen = "gpt.head.weight", "gpt.head.bias"
    assert not torch.equal(averaged[name], start[name])
    assert not torch.equal(averaged[name], last[name])
    assert torch.equal(averaged[frozen], start[frozen])


def test_updates_learn_at_a_multiple_of_the_rate_of_their_module(make) -> None:
    rates = ["optimizer.rates.gpt=1e-4", "optimizer.rates.sovits=2e-4", "train.lora.rate=10"]
    peaks = {
        group["name"]: group["peak"]
        for group in build_optimizers(make(*LORA, *rates))[0].param_groups
    }
    assert peaks == pytest.approx({"gpt_adapters": 1e-3, "sovits": 2e-4, "sovits_adapters": 2e-3})


def test_without_a_rank_everything_is_trained(make) -> None:
    module = make(MODULES)
    names = [group["name"] for group in build_optimizers(module)[0].param_groups]
    assert names == ["gpt", "sovits"]
    assert not list(module.adapters.parameters())
    assert all(p.requires_grad for p in module.networks.gpt.parameters())


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["init=none"], "gpt starts from nothing"),
        (["train.modules=[vocoder]"], "none of train.lora.modules is in train.modules"),
        (["train.lora.modules=[decoder]"], "no module 'decoder'; there are tokenizer, gpt"),
        (["train.lora.rate=0"], "train.lora.rate is 0"),
        (["train.lora.rank=-1"], "train.lora.rank is -1"),
    ],
)
def test_what_cannot_be_is_refused(words: list[str], message: str, from_base, configured) -> None:
    with pytest.raises(InputError, match=message):
        configured(*from_base, *LORA, *words)


def test_a_part_without_linear_layers_is_refused(make) -> None:
    for part in ("gpt.tokens", "gpt.token"):
        with pytest.raises(InputError, match=f"no linear layer to adapt in '{part}'"):
            make(*LORA, f"train.lora.modules=[{part}]")
