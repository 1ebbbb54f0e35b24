"""Parts of trained modules that keep the weights they start with."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from data.errors import InputError
from timbre.config import RunConfig
from timbre.module import VoiceCloner
from timbre.rundir import RunDir

ENCODER = "train.frozen=[sovits.speaker_encoder]"


def trained(module: VoiceCloner) -> set[str]:
    named = module.networks.named_parameters()
    return {".".join(name.split(".")[:2]) for name, p in named if p.requires_grad}


def test_what_is_frozen_is_not_trained(
    from_base: list[str], configured: Callable[..., RunConfig]
) -> None:
    config = configured(*from_base, ENCODER, "train.modules=[gpt,sovits]")
    module = VoiceCloner(config, speakers=1)
    assert "sovits.decoder" in trained(module)
    assert "gpt.transformer" in trained(module)
    assert {name.split(".")[0] for name in trained(module)} == {"gpt", "sovits"}
    assert "sovits.speaker_encoder" not in trained(module)


def test_the_finetune_trains_the_decoder_beside_a_gpt_with_dropout(
    from_base: list[str], configured: Callable[..., RunConfig]
) -> None:
    defaults = [word for word in from_base if not word.startswith("train.")]
    module = VoiceCloner(configured(*defaults), speakers=1)
    module.train()
    assert trained(module) == {"sovits.decoder"}
    assert module.networks.gpt.training


def test_a_run_that_would_train_nothing_is_refused(
    from_base: list[str], configured: Callable[..., RunConfig]
) -> None:
    config = configured(*from_base, "train.modules=[gpt]", "train.frozen=[gpt]")
    with pytest.raises(InputError, match=r"leaves nothing .* add train\.frozen=\[\]"):
        VoiceCloner(config, speakers=1)


def test_low_rank_updates_leave_it_alone_too(
    from_base: list[str], configured: Callable[..., RunConfig]
) -> None:
    words = [*from_base, "train.modules=[gpt,sovits]", "train.lora.rank=2"]
    for frozen, adapted in ((ENCODER, False), ("train.frozen=[]", True)):
        config = configured(*words, frozen, "train.lora.modules=[sovits]")
        names = VoiceCloner(config, speakers=1).adapters.names
        assert any(name.startswith("sovits.decoder.") for name in names)
        assert any(name.startswith("sovits.speaker_encoder.") for name in names) == adapted


def test_an_encoder_that_is_not_adapted_is_trained_fully(
    from_base: list[str], configured: Callable[..., RunConfig]
) -> None:
    words = [*from_base, "train.modules=[gpt,sovits]", "train.lora.rank=2", "train.frozen=[]"]
    assert "sovits.speaker_encoder" in trained(VoiceCloner(configured(*words), speakers=1))


def test_what_starts_from_nothing_is_trained(
    from_base: list[str], configured: Callable[..., RunConfig]
) -> None:
    config = configured(*from_base, ENCODER, "init_parts.sovits=none")
    assert "sovits.speaker_encoder" in trained(VoiceCloner(config, speakers=1))


def test_what_is_not_there_cannot_be_frozen(
    from_base: list[str], configured: Callable[..., RunConfig]
) -> None:
    with pytest.raises(InputError, match=r"no module 'decoder'"):
        configured("train.frozen=[decoder]")
    config = configured(*from_base, "train.frozen=[sovits.encoder]")
    with pytest.raises(InputError, match=r"no part 'sovits.encoder'"):
        VoiceCloner(config, speakers=1)


def test_the_report_says_what_was_trained(train_here: Callable[..., tuple[int, RunDir]]) -> None:
    frozen = "train.frozen=[gpt,sovits.speaker_encoder]"
    code, run = train_here("train.updates=1", "train.modules=[gpt,sovits]", frozen)
    assert code == 0
    said = "trained: sovits, without sovits.speaker_encoder; not: gpt; started"
    assert said in run.report.read_text("utf-8")
