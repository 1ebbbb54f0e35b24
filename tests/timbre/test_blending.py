"""What keeps a fine-tune from forgetting: a share of the first weights, and replay."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
import torch

from data.errors import InputError
from sovits.regression import Trunk
from timbre.blending import Blend
from timbre.bundle import Bundle, load_bundle
from timbre.callbacks.saver import AtomicCheckpointIO
from timbre.config import TrainConfig
from timbre.rundir import RunDir
from timbre.training import with_replay

TIMBRE = tuple(f"sovits.decoder.trunk.{name}." for name in Trunk.frame_rate_parts)


def moved(bundle: Bundle) -> Bundle:
    """The bundle with one added to every weight."""
    with torch.no_grad():
        for parameter in bundle.networks.parameters():
            parameter.add_(1)
    return bundle


def weights(bundle: Bundle) -> dict[str, torch.Tensor]:
    return {name: tensor.clone() for name, tensor in bundle.networks.named_parameters()}


def test_trained_modules_go_their_share_back_and_the_others_stay(base: Bundle) -> None:
    start = weights(base)
    blend = Blend(base.networks, TrainConfig(start_share=0.25), start.keys())
    blend.apply(moved(base).networks)
    for name, tensor in weights(base).items():
        words = name.startswith(("gpt.", "sovits.decoder.")) and not name.startswith(TIMBRE)
        torch.testing.assert_close(tensor, start[name] + (0.75 if words else 1))


def test_what_colours_the_voice_goes_further_than_trained(base: Bundle) -> None:
    start = weights(base)
    blend = Blend(base.networks, TrainConfig(timbre_gain=1.25), start.keys())
    blend.apply(moved(base).networks)
    further = set()
    for name, tensor in weights(base).items():
        step = 1.25 if name.startswith(TIMBRE) else 1
        further.add(step)
        torch.testing.assert_close(tensor, start[name] + step)
    assert further == {1, 1.25}
    # After the pitch is known nothing else leads to the mel.
    trunk = base.networks.sovits.decoder.get_submodule("trunk")
    names = [name for name, _ in trunk.named_children()]
    after = set(names[names.index("pitch") + 1 :]) - {"comb"}
    assert after == set(Trunk.frame_rate_parts)


def test_the_context_leaves_the_weights_as_they_were_whatever_happens(base: Bundle) -> None:
    blend = Blend(
        base.networks, TrainConfig(start_share=0.25, modules=["gpt"]), weights(base).keys()
    )
    trained = weights(moved(base))

    def judge_in_vain() -> None:
        with blend.applied(base.networks):
            assert not torch.equal(weights(base)["gpt.head.bias"], trained["gpt.head.bias"])
            raise RuntimeError("the judge fell off the chair")

    with pytest.raises(RuntimeError, match="judge"):
        judge_in_vain()
    for name, tensor in weights(base).items():
        assert torch.equal(tensor, trained[name])


def test_a_run_saves_the_mixture_and_goes_on_with_its_own(
    train_here, resume_in, signal_at, base_run: RunDir
) -> None:
    """The voice is the mixture of start and end, also where a stop lay between."""
    signal_at(1, "gpt")
    code, run = train_here("train.updates=2", "train.start_share=0.5", "train.modules=[gpt]")
    assert code == 130
    code, run = resume_in(run.folder)
    assert code == 0
    start = load_bundle(base_run.voice).networks.state_dict()["gpt.head.bias"]
    state = AtomicCheckpointIO().load_checkpoint(run.last_checkpoint)["state_dict"]
    end = state["networks.gpt.head.bias"]
    voice = load_bundle(run.voice).networks.state_dict()["gpt.head.bias"]
    assert not torch.equal(start, end)
    assert "of which the voice keeps 50%" in run.report.read_text("utf-8")
    torch.testing.assert_close(voice, ((start + end) / 2).half().float(), rtol=0, atol=1e-6)


def test_what_no_bundle_gave_is_not_gone_back_to(base: Bundle) -> None:
    blend = Blend(
        base.networks, TrainConfig(start_share=0.25, modules=["gpt"]), {"gpt.head.weight"}
    )
    trained = weights(moved(base))
    blend.apply(base.networks)
    changed = [
        name for name, tensor in weights(base).items() if not torch.equal(tensor, trained[name])
    ]
    assert changed == ["gpt.head.weight"]


def test_a_run_from_nothing_saves_what_it_trained(tmp_path, monkeypatch, voice, train_in) -> None:
    monkeypatch.chdir(tmp_path)
    few = ["experiment=smoke", "train.updates=1", "train.tokenizer_updates=1"]
    code, run = train_in(tmp_path / "run", *voice, *few, "train.start_share=0.5")
    assert code == 0
    state = AtomicCheckpointIO().load_checkpoint(run.last_checkpoint)["state_dict"]
    trained = state["networks.gpt.head.bias"]
    saved = load_bundle(run.voice).networks.state_dict()["gpt.head.bias"]
    torch.testing.assert_close(saved, trained.half().float(), rtol=0, atol=0)
    assert "the voice keeps" not in run.report.read_text("utf-8")


def test_a_resumed_run_finds_the_replay_again(train_here, resume_in, signal_at) -> None:
    """The saved configuration keeps the word `init`."""
    signal_at(1, "gpt")
    words = ["train.updates=2", "train.modules=[gpt]", "data.replay.manifest=init"]
    code, run = train_here(*words)
    assert code == 130
    code, _ = resume_in(run.folder)
    assert code == 0


def test_the_replay_of_a_bundle_is_found(
    tmp_path: Path, configured, voice, base_run: RunDir
) -> None:
    wanted = [*voice, "data.replay.manifest=init"]
    assert with_replay(configured(*wanted, "init=none")).data.replay.manifest == ""
    rich = shutil.copytree(base_run.voice, tmp_path / "rich")
    bare = with_replay(configured(*wanted, f"init={rich}"))
    assert bare.data.replay.manifest == ""
    (rich / "replay").mkdir()
    (rich / "replay" / "manifest.jsonl").touch()
    found = with_replay(configured(*wanted, f"init={rich}"))
    assert Path(found.data.replay.manifest) == rich / "replay" / "manifest.jsonl"
    with pytest.raises(InputError, match="no bundle"):
        with_replay(configured(*wanted, f"init={tmp_path / 'nothing'}"))
