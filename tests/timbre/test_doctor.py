"""The doctor on the curves of real runs: failures provoked on purpose, and healthy ones."""

from __future__ import annotations

import logging
import runpy
import shutil
from collections.abc import Callable
from functools import cache
from pathlib import Path

import pytest
from omegaconf import OmegaConf

from data.errors import InputError
from timbre.commands import CONFIGS, compose
from timbre.config import RunConfig, parse
from timbre.doctor.advice import livelier_discriminators, weaker_discriminators
from timbre.doctor.command import DoctorCommandConfig, examine
from timbre.doctor.config import DoctorConfig
from timbre.doctor.curves import Curves
from timbre.doctor.diagnosis import RULES, diagnose
from timbre.doctor.finding import Finding
from timbre.doctor.treatment import TREATMENTS
from timbre.metrics import Row, read_metrics
from timbre.objective import TERMS

FIXTURES = Path(__file__).parent / "fixtures" / "doctor"
PROVOKED: dict[str, list[str]] = runpy.run_path(str(FIXTURES / "provoke.py"))["PROVOKED"]
EXPECTED = {
    "healthy-1": set(),
    "healthy-2": set(),
    "healthy-3": set(),
    "kl-too-strong": {"posterior_collapse"},
    "discriminator-rate": {"discriminator_dominance"},
    "generator-rate": {"learning_rate_too_high"},
    "silence": {"bad_data"},
    "four-clips": {"overfitting"},
}


@cache
def config_of(*words: str) -> RunConfig:
    return parse(RunConfig, compose("train", ["init=none", *words]))


def rows_of(name: str) -> list[Row]:
    return read_metrics(FIXTURES / f"{name}.csv")


def ids(findings: list[Finding]) -> list[str]:
    return [finding.id for finding in findings]


def rows_with(**columns: list[float]) -> list[Row]:
    """Rows every ten updates; `rec=[…]` is the column train/rec, `val__rec=[…]` val/rec."""
    names = {n: n.replace("__", "/") if "__" in n else f"train/{n}" for n in columns}
    length = max(map(len, columns.values()))
    return [
        {"update": 10.0 * (i + 1)} | {names[n]: v[i] for n, v in columns.items() if i < len(v)}
        for i in range(length)
    ]


@pytest.mark.parametrize("name", PROVOKED)
def test_provoked_failures_are_diagnosed_and_healthy_runs_are_left_alone(name: str) -> None:
    findings = diagnose(Curves(rows_of(name)), config_of(*PROVOKED[name]))
    expected = EXPECTED[name]
    assert expected <= set(ids(findings)) if expected else findings == []


@pytest.mark.parametrize(
    "name", ["kl-too-strong", "discriminator-rate", "generator-rate", "silence"]
)
def test_a_failure_is_seen_before_the_run_is_over(name: str) -> None:
    rows, config = rows_of(name), config_of(*PROVOKED[name])
    (expected,) = EXPECTED[name]
    seen = [expected in ids(diagnose(Curves(rows[:i]), config)) for i in range(1, len(rows) + 1)]
    # Over-fitting is not among them: it shows at the validation after the turn.
    assert seen.index(True) <= 0.8 * len(rows)


@pytest.mark.parametrize("name", ["healthy-1", "healthy-2", "healthy-3"])
def test_healthy_runs_are_left_alone_at_any_time(name: str) -> None:
    rows, config = rows_of(name), config_of(*PROVOKED[name])
    for end in range(1, len(rows) + 1):
        assert diagnose(Curves(rows[:end]), config) == []


def test_batches_of_many_voices_are_noise_and_no_finding() -> None:
    """A diffusion decoder trained on a corpus, its trunk frozen: all that moves `rec` is the batch.

    One of the runs of docs/base-model.md, "Decoders at equal cost".
    """
    rows, config = rows_of("healthy-corpus"), config_of("experiment=pretrain")
    rec = Curves(rows).series("train/rec")
    assert rec.highest > 1.15 * rec.lowest
    for end in range(1, len(rows) + 1):
        assert diagnose(Curves(rows[:end]), config) == []


@pytest.mark.parametrize("name", [name for name, found in EXPECTED.items() if found])
def test_every_override_that_is_advised_can_be_pasted(name: str) -> None:
    config = config_of(*PROVOKED[name])
    for finding in diagnose(Curves(rows_of(name)), config):
        assert finding.overrides or finding.advice
        assert isinstance(config_of(*finding.overrides), RunConfig)


def test_advice_changes_the_runs_own_numbers() -> None:
    config = config_of("optimizer.rates.discriminators=2e-3", "objective.adv.r1_weight=7")
    (finding,) = diagnose(Curves(rows_of("discriminator-rate")), config)
    assert "optimizer.rates.discriminators=0.0001" in finding.overrides
    assert "objective.adv.r1_weight=14" in finding.overrides
    assert any(word.startswith("objective.adv.freeze_steps=") for word in finding.overrides)


def test_advice_changes_the_rate_of_the_discriminators_that_is_used() -> None:
    curves = Curves(rows_of("discriminator-rate"))
    config = config_of("optimizer.rates.discriminator_ratio=0.4")
    for remedy, ratio in ((weaker_discriminators, "0.2"), (livelier_discriminators, "0.8")):
        overrides = remedy(curves, config)
        assert f"optimizer.rates.discriminator_ratio={ratio}" in overrides
        assert not any("rates.discriminators=" in word for word in overrides)


@pytest.mark.parametrize(
    ("columns", "expected"),
    [
        ({"rec": [1.2, float("nan"), float("nan")]}, "non_finite"),
        ({"rec": [1.0, 0.9, 0.8], "skipped": [0.0, 0.2, 0.0]}, "non_finite"),
        ({"kl": [0.5, 0.9, 2.5, 6.0, 9.0]}, "kl_divergence"),
        ({"rec": [1.0, 0.97, 0.95, 0.95, 0.94, 0.95, 0.94, 0.94]}, "rec_stuck"),
        ({"level_db": [-80.0] * 3}, "bad_data"),
        ({"rec": [0.9], "data__longest_seconds": [41.0]}, "bad_data"),
        ({"rec": [0.9], "data__seconds": [9.0], "data__clips": [3.0]}, "bad_data"),
        ({"rec": [0.9], "val__human_error_rate": [0.95]}, "bad_data"),
        ({"val__rate_ratio": [0.95, 0.9, 0.7], "val__score": [0.5, 0.6, 0.6]}, "rate_drift"),
        ({"disc": [1.0] * 12, "adv": [0.3] * 12}, "discriminator_degenerate"),
        (
            {"disc": [0.5] * 40, "adv": [0.3] * 40, "accuracy/0": [0.5] * 40},
            "discriminator_degenerate",
        ),
    ],
)
def test_each_other_rule_sees_its_sign(columns: dict[str, list[float]], expected: str) -> None:
    """Signs that no recorded run shows; by hand."""
    findings = diagnose(Curves(rows_with(**columns)), config_of())
    assert ids(findings) == [expected]


@pytest.mark.parametrize(
    "columns",
    [
        {"kl": [0.7, 0.5, 0.45, 0.44, 0.5]},
        {"rec": [1.2, 1.0, 0.9, 0.84, 0.82, 0.81, 0.78, 0.75]},  # slow, but on its way
        {"val__rate_ratio": [0.7, 0.72], "val__score": [0.5, 0.5]},  # it was so before training
        {"val__rate_ratio": [1.0, 0.5]},  # a voice that never could speak has no pace to lose
        {"disc": [1.0, 0.6, 0.3, 0.2, 0.1, 0.1], "adv": [0.9] * 6},  # sure, but nobody loses
        {"val__semantic": [4.0, 3.8, 3.9], "semantic": [4.0, 3.0, 2.5, 2.2, 2.0]},
    ],
)
def test_what_only_looks_alike_is_left_alone(columns: dict[str, list[float]]) -> None:
    assert diagnose(Curves(rows_with(**columns)), config_of()) == []


def test_one_odd_row_is_no_finding() -> None:
    rec = [1.0, 0.8, 0.7, 0.6, 1.4, 0.55, 0.5]
    assert diagnose(Curves(rows_with(rec=rec)), config_of()) == []


def test_what_was_treated_counts_no_more() -> None:
    rec = [0.5, 0.3, 0.3, 0.3, 0.45, 0.5, 0.5, 0.5]
    curves, config = Curves(rows_with(rec=rec)), config_of()
    assert ids(diagnose(curves, config)) == ["learning_rate_too_high"]
    assert diagnose(curves, config, {"slower_generators": 50}) == []


def test_the_table_of_rules_hangs_together() -> None:
    """Ids that others rely on, remedies that exist, and terms that exist."""
    assert {rule.id for rule in RULES} == {
        *("posterior_collapse", "kl_divergence", "discriminator_dominance", "rec_stuck"),
        *("discriminator_degenerate", "overfitting", "learning_rate_too_high", "non_finite"),
        *("bad_data", "rate_drift"),
    }
    assert {rule.remedy for rule in RULES} - {""} == set(TREATMENTS)
    shown = {name for rule in RULES for name in rule.shows if name.startswith("train/")}
    beside = {"total", "skipped", "silence", "level_db", "disc", "generator_gradient_norm"}
    for name in shown:
        column = name.removeprefix("train/").removeprefix("weighted/")
        assert column.split("/")[0] in {*TERMS, *beside, "accuracy", "gradient_norm"}, name


@pytest.fixture
def recorded(tmp_path: Path) -> Callable[[str], Path]:
    """`recorded(name)`: a run's folder with the recorded curves."""

    def make(name: str) -> Path:
        folder = tmp_path / name
        folder.mkdir()
        shutil.copyfile(FIXTURES / f"{name}.csv", folder / "metrics.csv")
        composed = compose("train", ["init=none", *PROVOKED[name]])
        for file in ("config.yaml", "composed.yaml"):
            OmegaConf.save(composed, folder / file)
        return folder

    return make


def test_the_command_prints_a_line_per_finding_and_exits_3(recorded, tmp_path: Path) -> None:
    picture = tmp_path / "curves.png"
    answer, code = examine(DoctorCommandConfig(str(recorded("kl-too-strong")), str(picture)))
    assert code == 3
    first, *others = answer.splitlines()
    assert first.startswith("posterior_collapse: train/kl has fallen from")
    assert all(line.startswith("  ") for line in others)
    assert "objective.weights.kl=1 " in answer
    assert picture.stat().st_size > 1000


def test_a_picture_that_cannot_be_drawn_is_told(recorded, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    run = str(recorded("healthy-1"))
    for picture in ("file/curves.png", "curves.xyz"):
        with pytest.raises(InputError, match=f"picture=.*{picture}: cannot be drawn"):
            examine(DoctorCommandConfig(run, str(tmp_path / picture)))


def test_the_command_finds_nothing_wrong_with_a_healthy_run(recorded) -> None:
    answer, code = examine(DoctorCommandConfig(str(recorded("healthy-1"))))
    assert code == 0
    assert answer.startswith("healthy: ")


def test_the_command_refuses_what_is_no_run(tmp_path: Path, monkeypatch) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(InputError, match="no such folder, nor a run"):
        examine(DoctorCommandConfig("nobody"))
    (tmp_path / "empty").mkdir()
    with pytest.raises(InputError, match=r"metrics\.csv is missing"):
        examine(DoctorCommandConfig("empty"))


def test_impossible_settings_are_refused() -> None:
    with pytest.raises(ValueError, match=r"doctor\.every"):
        DoctorConfig(every=-1)
    with pytest.raises(ValueError, match=r"doctor\.act=true needs"):
        DoctorConfig(every=0, act=True)


DOCTORED = ["train.modules=[gpt,sovits]", "doctor.every=1", "doctor.patience=3"]


def test_the_live_doctor_says_it_once_and_the_report_repeats_it(train_here, caplog) -> None:
    _, run = train_here("train.updates=4", *DOCTORED)
    told = [r for r in caplog.records if r.levelno == logging.WARNING and "bad_data" in r.message]
    assert len(told) == 1  # the test's voice has 13 s
    assert run.doctor_log.read_text().count("bad_data") == 1
    assert "What the doctor says" in run.report.read_text()
    assert "- **bad_data:** only 13 s of speech" in run.report.read_text()


def test_the_live_doctor_acts_waits_and_is_remembered_on_resuming(
    train_here, resume_in, monkeypatch
) -> None:
    """A KL that is far too strong: its weight is halved at once and again after the patience."""
    monkeypatch.setattr("timbre.doctor.speaker_rules._COLLAPSED", 100.0)
    words = [*DOCTORED, "doctor.act=true", "objective.weights.kl=8", "objective.kl.free_nats=0"]
    _, run = train_here("train.updates=5", *words, "objective.kl.annealing.kind=constant")
    log = run.doctor_log.read_text()
    assert "update 3: halved the KL term's weight to 4; it pushes no further than to 0.5" in log
    rows = {int(row["update"]): row for row in read_metrics(run.metrics)}
    assert rows[3]["train/weighted/kl"] == pytest.approx(8 * rows[3]["train/kl"], rel=1e-3)
    after = 4 * max(0.5, rows[5]["train/kl"])
    assert rows[5]["train/weighted/kl"] == pytest.approx(after, rel=0.05)
    resume_in(run.folder, "train.updates=7")
    log = run.doctor_log.read_text()
    assert "update 6: halved the KL term's weight to 2" in log
    assert log.count("halved") == 2


def test_losses_that_are_no_numbers_are_told_before_the_run_ends(
    train_here, monkeypatch, caplog
) -> None:
    from timbre.module import VoiceCloner
    from timbre.stepping import NonFiniteLossError

    original = VoiceCloner.forward_terms

    def forward_terms(self, *args):
        outputs = original(self, *args)
        outputs.terms["semantic"] = outputs.terms["semantic"] * float("nan")
        return outputs

    monkeypatch.setattr(VoiceCloner, "forward_terms", forward_terms)
    with pytest.raises(NonFiniteLossError):
        train_here("train.updates=9", "train.max_non_finite=3", "train.log_updates=50")
    assert "doctor, update 2: non_finite: train/" in caplog.text
    assert "trainer.precision=32-true" in caplog.text


def test_the_tuning_guide_explains_every_diagnosis_and_shows_every_run() -> None:
    guide = (CONFIGS.parent / "docs" / "training-guide.md").read_text("utf-8")
    for rule in RULES:
        assert f"`{rule.id}`" in guide, rule.id
    for name in PROVOKED:
        picture = f"pictures/doctor-{name}.png"
        assert picture in guide or name in {"healthy-2", "healthy-3"}, name
    for picture in (CONFIGS.parent / "docs" / "pictures").glob("*.png"):
        assert f"pictures/{picture.name}" in guide
        assert picture.stat().st_size < 60_000
    for remedy in TREATMENTS:
        assert f"`{remedy}`" in guide
