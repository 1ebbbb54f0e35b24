"""Every shipped configuration composes and builds; what is mistyped is refused with advice."""

from __future__ import annotations

import runpy
from pathlib import Path

import pytest
import torch

from data.errors import InputError
from data.mel import AudioConfig
from data.preparation.config import PrepareConfig
from sovits.decoder import build_decoder
from timbre.commands import CONFIGS, TRAINING_TEXTS, compose
from timbre.config import RunConfig, parse
from timbre.evaluation import EvaluationConfig
from timbre.module import VoiceCloner
from timbre.networks import Networks, fitted
from timbre.objective import MODULES
from timbre.optimization import UNFIT, OptimizerConfig, Rates, build, build_optimizers
from timbre.synthesis import SynthesisConfig
from vocoder.generator import build_vocoder


def options(group: str) -> list[str]:
    """The files of a group, with the option's own words, e.g. `model/vocoder=hifigan_v1`."""
    return [f"{group}={path.stem}" for path in sorted((CONFIGS / group).glob("*.yaml"))]


GROUPS = ["audio", "data", "logger", "model", "objective", "optimizer", "schedule", "trainer"]
ALL = [word for group in (*GROUPS, "model/decoder", "model/vocoder") for word in options(group)]
NETWORKS = [
    *options("model"),
    *options("model/decoder"),
    *options("model/vocoder"),
    *options("audio"),
]


def run_config(*overrides: str) -> RunConfig:
    return parse(RunConfig, compose("train", list(overrides)))


def test_no_group_is_forgotten() -> None:
    trained = {path.name for path in CONFIGS.iterdir() if path.is_dir()} - {"corpus", "experiment"}
    assert trained == set(GROUPS)
    assert all(options(group) for group in GROUPS)


@pytest.mark.parametrize("option", ALL)
def test_every_option_composes_and_parses(option: str) -> None:
    assert isinstance(run_config(option), RunConfig)


@pytest.mark.parametrize("option", NETWORKS)
def test_every_model_option_builds(option: str) -> None:
    config = run_config(option)
    model = fitted(config.model, config.audio)
    if option.startswith("model="):
        counts = Networks(model, config.audio).parameter_counts()
        assert set(counts) == set(MODULES)
        low, high = {"nano": (10e6, 40e6), "base": (80e6, 300e6)}[config.model.name]
        assert low < sum(counts.values()) < high
    elif option.startswith("model/decoder"):
        assert build_decoder(model.decoder).config.kind == option.partition("=")[2]
    else:
        assert build_vocoder(model.vocoder, config.audio).audio == config.audio


@pytest.mark.parametrize("option", options("experiment"))
def test_every_experiment_says_what_it_asks_and_parses(option: str) -> None:
    text = (CONFIGS / f"{option.replace('=', '/')}.yaml").read_text(encoding="utf-8").splitlines()
    assert text[0] == "# @package _global_"
    assert text[1].startswith("# ")
    assert "?" in " ".join(line for line in text[1:4] if line.startswith("#"))
    config = run_config(option, "init=none")
    assert config.train.updates > 0


@pytest.mark.parametrize("option", options("optimizer"))
def test_every_optimizer_is_built_with_a_rate_per_module(option: str, configured) -> None:
    rates = ["optimizer.rates.gpt=0.5", "optimizer.rates.sovits=0.25"]
    config = configured(option, "train.modules=[gpt,sovits,vocoder]", *rates)
    generator, discriminator = build_optimizers(VoiceCloner(config, speakers=2))
    assert type(generator).__name__ == config.optimizer.name
    assert {group["name"]: group["lr"] for group in generator.param_groups} == {
        "gpt": 0.5,
        "sovits": 0.25,
        "vocoder": 2e-4,
    }
    assert [group["lr"] for group in discriminator.param_groups] == [1e-4]


def test_balances_that_cannot_work_are_refused_with_advice() -> None:
    gradient = ["objective.balance.kind=gradient", "objective.balance.names=[rec,wave_mel]"]
    with pytest.raises(InputError, match=r"rec, wave_mel do not meet at one output"):
        run_config(*gradient)
    with pytest.raises(InputError, match=r"adv of kind hinge may be negative.*balance\.names"):
        run_config("objective.balance.kind=uncertainty", "objective.adv.kind=hinge")


def torch_optimizers() -> list[str]:
    """Names of all optimizers that torch has and that can train these networks."""
    classes = [each for each in vars(torch.optim).values() if isinstance(each, type)]
    names = [each.__name__ for each in classes if issubclass(each, torch.optim.Optimizer)]
    return [name for name in names if name not in UNFIT]


@pytest.mark.parametrize("name", torch_optimizers())
def test_any_optimizer_of_torch_takes_a_step(name: str) -> None:
    optimizer = OptimizerConfig(name=name)
    parameters = [torch.nn.Parameter(torch.ones(3, 2)), torch.nn.Parameter(torch.ones(4))]
    groups = [{"params": [p], "lr": 1e-2, "peak": 1e-2, "name": "x"} for p in parameters]
    built = build(optimizer, groups)
    for _ in range(2):
        built.zero_grad()
        sum(p.square().sum() for p in parameters).backward()
        built.step()
    assert all((p < 1).all() for p in parameters)


def test_the_default_rates_are_those_of_the_guide() -> None:
    rates = Rates()
    assert (rates.gpt, rates.sovits, rates.vocoder, rates.discriminators) == (
        5e-5,
        2e-4,
        2e-4,
        1e-4,
    )
    assert run_config().schedule.updates == run_config().train.updates


@pytest.mark.parametrize(
    ("word", "advice"),
    [
        ("train.updatse=3", r"train\.updatse.*Did you mean 'updates'.*minutes, seed"),
        ("model.gpt.hiden=16", r"model\.gpt\.hiden.*Valid here:.*layers"),
        ("objectiv.weights.rec=1", r"objectiv.*Did you mean 'objective'"),
        ("train.updates=many", r"train\.updates.*'many'"),
        ("train.updates=0", r"train\.updates.*at least 1"),
        ("train.modules=[gtp]", r"\['gtp'\]; give one or more of tokenizer, gpt, sovits, vocoder"),
        ("train.modules=[tokenizer,gpt]", r"experiment=tokenizer"),
        ("model.decoder.kind=difusion", r"difusion.*regression"),
        ("model/decoder=difusion", r"difusion.*regression"),
        ("data=nobody", r"nobody.*myvoice"),
        ("optimizer.name=Adamm", r"torch\.optim has no optimizer 'Adamm'"),
        (
            "optimizer.options.momentum=0.9",
            r"AdamW has no option 'momentum'; it has .*weight_decay",
        ),
        ("init_parts.vocder=x", r"'vocder'; there are tokenizer, gpt, sovits, vocoder"),
        ("optimizer.name=LBFGS", r"LBFGS computes the loss several times.*AdamW"),
        ("optimizer.rates.discriminator_ratio=0", r"discriminator_ratio.*above 0"),
        ("objective.rec.kind=l1", r"objective\.rec\.kind.*mae.*log_cosh"),
        ("objective.adv.kind=gan", r"unknown kind 'gan'.*lsgan.*wasserstein"),
        ("objective.semantic.kind=hinge", r"categorical_hinge"),
        ("objective.contrastive.kind=simclr", r"info_nce"),
        ("objective.speaker.kind=softmax", r"cross_entropy"),
        ("objective.perceptual.features=hubert", r"tokenizer or discriminator"),
        ("objective.balance.kind=auto", r"fixed"),
        ("objective.balance.names=[rec,fm]", r"no term 'fm'; the terms are.*feature_matching"),
        ("train.accumulate=-1", r"or 0 to find it"),
        ("train.seed=5000000000", r"train\.seed is 5000000000; give 0 to 4294967295"),
        ("schedule.kind=cosin", r"cosin"),
        ("train.updates=[", r"train\.updates"),
    ],
)
def test_mistakes_on_the_command_line_are_refused_with_advice(word: str, advice: str) -> None:
    with pytest.raises(InputError, match=advice):
        run_config(word)


def test_a_vocoder_alone_has_no_predicted_mel() -> None:
    with pytest.raises(InputError, match=r"needs gpt or sovits among train\.modules"):
        run_config("train.modules=[vocoder]", "objective.vocoder_input=predicted")
    assert run_config("train.modules=[gpt]", "objective.vocoder_input=predicted")


def test_mistakes_in_an_experiment_file_are_refused_with_advice(
    tmp_path: Path, monkeypatch
) -> None:
    """A folder `voices/` is on the search path; an experiment there may be mistyped, too."""
    monkeypatch.chdir(tmp_path)
    folder = tmp_path / "voices" / "experiment"
    folder.mkdir(parents=True)
    for name, text in (
        ("unknown", "model:\n  gpt:\n    hiden: 16\n"),
        ("mistyped", "train:\n  updates: often\n"),
        ("fine", "train:\n  updates: 3\n"),
    ):
        (folder / f"{name}.yaml").write_text(f"# @package _global_\n{text}")
    assert run_config("experiment=fine").train.updates == 3
    with pytest.raises(InputError, match=r"model\.gpt\.hiden.*Valid here:.*width"):
        run_config("experiment=unknown")
    with pytest.raises(InputError, match=r"train\.updates.*'often'"):
        run_config("experiment=mistyped")


def test_a_prepared_voice_is_found(tmp_path: Path, monkeypatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "voices" / "data").mkdir(parents=True)
    (tmp_path / "voices" / "data" / "me.yaml").write_text("name: me\nmanifest: me.jsonl\n")
    assert run_config("data=me").data.name == "me"


@pytest.mark.parametrize(
    "name",
    ["Jürgen's", "a b (x)", "R&D#1", "k=v,w", "[x]!", "${HOME}", "b\\'c\\", 'say "hi"', "日本"],
)
def test_a_prepared_voice_is_found_in_any_folder(name: str, tmp_path: Path, monkeypatch) -> None:
    folder = tmp_path / name / "voices" / "data"
    folder.mkdir(parents=True)
    (folder / "me.yaml").write_text("name: me\nmanifest: me.jsonl\n")
    monkeypatch.chdir(tmp_path / name)
    assert run_config("data=me").data.name == "me"


@pytest.mark.parametrize("text", ["name: [me\n", "a: 1\n b: 2\n", "name: {{}\n"])
def test_a_voice_file_that_is_no_yaml_is_named(text: str, tmp_path: Path, monkeypatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "voices" / "data").mkdir(parents=True)
    (tmp_path / "voices" / "data" / "me.yaml").write_text(text)
    with pytest.raises(InputError, match=r"data/me\.yaml.*line \d.*mend it") as caught:
        run_config("data=me")
    assert "\n" not in str(caught.value)
    (tmp_path / "voices" / "data" / "me.yaml").write_bytes(b"name: \xff\n")
    with pytest.raises(InputError, match="no YAML mapping in UTF-8"):
        run_config("data=me")


def test_sizes_follow_audio_and_symbols_not_a_second_number() -> None:
    config = run_config("audio=44khz", "model.gpt.width=192", "model.gpt.heads=4")
    model = fitted(config.model, config.audio)
    assert model.tokenizer.mel_channels == model.decoder.mel_channels == 128
    assert model.decoder.semantic_channels == 192
    assert AudioConfig() == run_config("audio=24khz").audio


def test_an_optimizer_takes_its_own_options_only() -> None:
    with pytest.raises(ValueError, match="Adagrad has no option 'betas'"):
        OptimizerConfig(name="Adagrad", options={"betas": [0.9, 0.99]})


TEXTS = ("voice", "text", "output")


@pytest.mark.parametrize(
    "text",
    [
        "Hello, world!",
        'She said: "it\'s (almost) 50% done" [sic] {x}',
        "It costs $5, or ${price}; that is 5=5.",
        "yes",
        "1,000",
    ],
)
def test_any_text_may_stand_on_the_command_line(text: str) -> None:
    words = [f"text={text}", "voice=a(b),c", "output=my file.wav", "speed=2"]
    config = parse(SynthesisConfig, compose("synthesize", words, TEXTS))
    assert (config.text, config.voice, config.speed) == (text, "a(b),c", 2.0)


PATHS = ["/srv/Jürgen/rec", "/srv/J (x)/r", "/x/R&D,#1/[a]", "it's $5 {y}", "a\\${b}", "2024"]


@pytest.mark.parametrize("path", PATHS)
def test_any_path_may_stand_on_the_command_line(path: str) -> None:
    words = [f"run.dir={path}", f"data.manifest={path}", f"init_parts.gpt={path}", "resume=null"]
    config = parse(RunConfig, compose("train", words, TRAINING_TEXTS))
    assert [config.run.dir, config.data.manifest, config.init_parts["gpt"]] == [path] * 3
    assert config.resume is None


@pytest.mark.parametrize(
    ("command", "schema", "keys", "needed"),
    [
        ("prepare", PrepareConfig, ["input", "transcripts", "output"], ["speaker=me"]),
        ("evaluate", EvaluationConfig, ["reference", "voice", "output"], []),
    ],
)
@pytest.mark.parametrize("path", PATHS)
def test_scripts_take_any_path(command: str, schema, keys, needed, path: str) -> None:
    texts = runpy.run_path(str(CONFIGS.parent / f"scripts/{command}.py"))["TEXTS"]
    words = [*needed, f"transcribe.model={path}", *(f"{key}={path}" for key in keys)]
    config = parse(schema, compose(command, words, texts))
    assert [getattr(config, key) for key in keys] == [path] * len(keys)
    assert config.transcribe.model == path


def test_mistakes_of_synthesis_are_refused_with_advice() -> None:
    needed = ["voice=x", "output=y.wav"]
    for words, advice in (
        ([*needed, "text=hello", "sped=2"], r"'sped'\. Did you mean 'speed'.*temperature"),
        ([*needed, "text=hello", "speed=9"], r"speed is 9.0; give 0.25 to 4.0"),
        ([*needed], "give exactly one of text"),
        ([*needed, "text=a", "lines=b"], "give exactly one of text"),
        (["text=hello", "output=y.wav"], "voice"),
    ):
        with pytest.raises(InputError, match=advice):
            parse(SynthesisConfig, compose("synthesize", words, TEXTS))
