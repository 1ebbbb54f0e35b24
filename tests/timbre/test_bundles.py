"""A bundle is the whole voice, describes itself, and says what is wrong with it."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from data.errors import InputError
from data.mel import AudioConfig
from timbre.bundle import (
    Bundle,
    find_bundle,
    grow_symbol_table,
    load_bundle,
    save_bundle,
    take_modules,
)
from timbre.networks import Networks
from timbre.objective import MODULES
from timbre.rundir import RunDir
from timbre.synthesizer import Synthesizer


@pytest.fixture
def copy(base_run: RunDir, tmp_path: Path) -> Path:
    """A bundle to damage."""
    return Path(shutil.copytree(base_run.voice, tmp_path / "copy"))


def changed(folder: Path, **values) -> Path:
    path = folder / "config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | values))
    return folder


def test_a_bundle_describes_itself(base_run: RunDir, base: Bundle) -> None:
    header = json.loads((base_run.voice / "config.json").read_text())
    assert header["name"] == "two"
    assert header["speakers"] == base.speakers == ["ada", "bob"]
    assert header["audio"]["sample_rate_hz"] == 24000
    assert header["about"]["updates"] == 2
    assert header["symbols"] > 100
    assert base.embeddings.shape == (2, 256)
    assert not list(base_run.voice.glob("*.tmp"))


def test_a_saved_copy_speaks_the_same(base: Bundle, tmp_path: Path) -> None:
    save_bundle(tmp_path / "again", base)
    again = load_bundle(tmp_path / "again")
    first, second = (
        Synthesizer(bundle, speaker="ada").speak("Hello there.", seed=3) for bundle in (base, again)
    )
    np.testing.assert_array_equal(first, second)


def test_a_bundle_keeps_the_lexicon_that_it_was_trained_with(base: Bundle, tmp_path: Path) -> None:
    words = tmp_path / "names.tsv"
    words.write_text("Timbre\tʒɔʒɔ\n", encoding="utf-8")
    save_bundle(tmp_path / "voice", replace(base, lexicon=words))
    kept = load_bundle(tmp_path / "voice")
    assert kept.lexicon == tmp_path / "voice" / "lexicon.tsv"
    spoken, said = (Synthesizer(b, speaker="ada").speak("Timbre.", seed=3) for b in (kept, base))
    assert not np.array_equal(spoken, said)
    save_bundle(tmp_path / "voice", kept)
    assert load_bundle(tmp_path / "voice").lexicon == kept.lexicon
    save_bundle(tmp_path / "voice", base)
    assert load_bundle(tmp_path / "voice").lexicon is None


def test_old_bundles_grow_with_the_symbol_table(base: Bundle, tmp_path: Path) -> None:
    """As if three symbols had been added since: the old rows are kept, the new ones are fresh."""
    present = base.networks.state_dict()
    symbols = base.networks.config.tokenizer.symbols
    old = {
        name: tensor[: symbols - 3] if tensor.ndim and tensor.shape[0] == symbols else tensor
        for name, tensor in present.items()
    }
    shortened = {name for name in present if old[name].shape != present[name].shape}
    assert {"gpt.phoneme_encoder", "tokenizer"} <= {
        prefix
        for name in shortened
        for prefix in (name.split(".")[0], ".".join(name.split(".")[:2]))
    }
    assert "alignment_prior" in shortened
    fresh = Networks(base.networks.config, base.audio).state_dict()
    grown = grow_symbol_table(fresh, old, symbols - 3)
    for name in present:
        assert grown[name].shape == present[name].shape
        rows = symbols - 3 if name in shortened else None
        assert torch.equal(grown[name][:rows] if rows else grown[name], old[name])
        if rows:
            assert torch.equal(grown[name][rows:], fresh[name][rows:])


@pytest.mark.parametrize(
    ("values", "advice"),
    [
        ({"format": 99}, r"made by a newer Timbre \(format 99.*update Timbre"),
        ({"symbol_table_version": 99}, r"made by a newer Timbre \(symbol_table_version 99"),
        ({"format": None}, "is not a bundle's config"),
        ({"flavour": "sweet"}, r"config\.json.*unknown key 'flavour'"),
        ({"name": "${oc.env:HOME}"}, r"config\.json holds \$\{.*copy it again"),
        ({"about": {"made": ["${name}"]}}, r"config\.json holds \$\{"),
    ],
)
def test_a_config_that_cannot_be_understood_is_refused(values, advice, copy: Path) -> None:
    with pytest.raises(InputError, match=advice):
        load_bundle(changed(copy, **values))


def test_damage_is_named(copy: Path) -> None:
    weights, config = copy / "model.safetensors", copy / "config.json"
    whole = weights.read_bytes()
    weights.write_bytes(whole[: len(whole) // 2])
    with pytest.raises(
        InputError, match=r"model\.safetensors cannot be read.*copy the bundle again"
    ):
        load_bundle(copy)
    weights.write_bytes((copy / "tokenizer.safetensors").read_bytes())
    with pytest.raises(InputError, match="holds no voices"):
        load_bundle(copy)
    weights.write_bytes(whole)
    config.write_bytes(b"\xff\xfe{")
    with pytest.raises(InputError, match=r"config\.json cannot be read"):
        load_bundle(copy)


def test_weights_of_other_sizes_are_refused(copy: Path) -> None:
    model = json.loads((copy / "config.json").read_text())["model"]
    model["gpt"]["width"] = 64
    with pytest.raises(InputError, match="the weights do not fit the model"):
        load_bundle(changed(copy, model=model))


def test_a_voice_is_found_by_bundle_run_or_name(tmp_path: Path, monkeypatch, copy: Path) -> None:
    monkeypatch.chdir(tmp_path)
    run = tmp_path / "runs" / "me" / "latest"
    run.mkdir(parents=True)
    shutil.copytree(copy, run / "voice")
    assert find_bundle(str(run / "voice")) == run / "voice"
    assert find_bundle(str(run)) == run / "voice"
    assert find_bundle("me").resolve() == run / "voice"
    with pytest.raises(
        InputError, match=r"voice 'you': no bundle.*runs/you/latest/voice.*train\.py"
    ):
        find_bundle("you")


def test_without_a_base_the_message_says_how_to_train_one(monkeypatch, tmp_path: Path) -> None:
    monkeypatch.setattr("timbre.bundle.BASE", tmp_path / "none")
    with pytest.raises(InputError, match=r"no base checkpoint.*experiment=tokenizer.*init=none"):
        find_bundle("base")


def test_modules_are_taken_one_by_one(base: Bundle) -> None:
    torch.manual_seed(5)
    networks = Networks(base.networks.config, base.audio)
    fresh = {name: tensor.clone() for name, tensor in networks.state_dict().items()}
    take_modules(networks, base, ["tokenizer", "vocoder"], base.audio)
    taken = base.networks.state_dict()
    for name, tensor in networks.state_dict().items():
        wanted = taken if name.startswith(("tokenizer.", "vocoder.", "alignment_prior")) else fresh
        assert torch.equal(tensor, wanted[name]), name
    with pytest.raises(InputError, match="choose the bundle's audio group, or init=none"):
        take_modules(networks, base, ["gpt"], AudioConfig(sample_rate_hz=44100))


def test_a_bundle_of_another_size_is_refused_with_the_size_to_choose(base, configured) -> None:
    larger = Networks(configured("model.gpt.width=64").model, base.audio)
    with pytest.raises(InputError, match=r"does not fit this run's sizes.*choose model=nano"):
        take_modules(larger, base, ["gpt"], base.audio)


@pytest.mark.parametrize(
    ("override", "module", "message"),
    [
        ("model.gpt.layout=plain", "gpt", r"layout=interleaved, this run.*init_parts\.gpt=none"),
        ("model.gpt.heads=1", "gpt", r"model\.gpt\.heads=2, this run has 1"),
        ("model.tokenizer.fsq_levels=[5,8,5,5]", "tokenizer", r"fsq_levels=\[8, 5, 5, 5\]"),
        ("model.decoder.residual_scale=1", "sovits", r"residual_scale=0\.45, this run has 1"),
    ],
)
def test_weights_that_would_mean_something_else_are_refused(
    override: str, module: str, message: str, base: Bundle, configured
) -> None:
    networks = Networks(configured(override).model, base.audio)
    with pytest.raises(InputError, match=message):
        take_modules(networks, base, [module], base.audio)
    others = [name for name in MODULES if name != module]
    assert take_modules(networks, base, others, base.audio)
