"""The training that listens: the best by ear is kept, the un-tuned start if nothing is better."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from unittest.mock import Mock

import pytest
import torch

from data.errors import InputError
from timbre.bundle import load_bundle
from timbre.config import ValidationConfig
from timbre.judges.optional import NotAvailableError
from timbre.listening import Listener
from timbre.metrics import curve, read_metrics
from timbre.networks import Networks
from timbre.rundir import RunDir
from timbre.verdict import error_limit, verdict

Train = Callable[..., tuple[int, RunDir]]

ABSENT = "not installed: pip install it"

LISTENING = [
    "train.modules=[gpt,sovits]",
    "train.updates=2",
    "validation.every=2",
    "validation.clips=1",
    "validation.sentences=0",
    # The tiny base cannot speak: without these two nobody would listen to it.
    "validation.babble_nats=100",
    "validation.intelligible=100",
]


@pytest.fixture
def judged_by(monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """`judged_by(hear)`: what is heard is `hear(how far the weights moved, update)`."""

    def arrange(hear: Callable[[float, int], dict[str, float]]) -> None:
        start: list[torch.Tensor] = []

        def call(self: Listener, networks: Networks, update: int) -> dict[str, float]:
            weights = torch.cat([p.detach().flatten() for p in networks.parameters()])
            start.append(weights.clone())
            return hear(float((weights - start[0]).square().mean().sqrt()), update)

        monkeypatch.setattr(Listener, "__call__", call)
        monkeypatch.setattr(Listener, "human", lambda *_: {"error_rate": 0.05})

    return arrange


@pytest.fixture(scope="module")
def listened(workshop: Path, from_base: list[str], train_in: Train) -> RunDir:
    """A run whose voice was really listened to."""
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(workshop)
        words = [*from_base, *LISTENING, "validation.sentences=1"]
        code, run = train_in(workshop / "listened", *words)
    assert code == 0
    return run


def test_every_validation_listens_and_the_first_is_the_baseline(listened: RunDir) -> None:
    rows = read_metrics(listened.metrics)
    updates, errors = curve(rows, "val/error_rate")
    assert updates == [0, 2]
    assert all(error >= 0 for error in errors)
    for name in ("similarity", "mel_distance", "silence", "seconds"):
        assert curve(rows, f"val/{name}")[0] == [0, 2], name
    assert curve(rows, "val/human_error_rate")[0] == [0]
    assert curve(rows, "val/score")[1][0] == pytest.approx(curve(rows, "val/similarity")[1][0])
    spoken = {path.name for path in listened.samples.glob("*.wav")}
    assert {"000000-s0.wav", "000002-s0.wav"} < spoken
    assert len(spoken) == 4
    report = listened.report.read_text()
    assert "Does it sound better?" in report
    assert "un-tuned" in report


@pytest.mark.parametrize(
    ("score", "advice"),
    [
        ("wer", r"wer needs validation\.judges=\[dnsmos,recogniser\] \(pip install faster-whisper"),
        ("dnsmos", r"dnsmos needs the judge dnsmos, not installed: pip install it, or score some"),
        ("f0_error", r"f0_error cannot be measured of this voice: leave it out, or"),
    ],
)
def test_a_score_that_nobody_measures_is_refused_before_the_first_update(
    train_here: Train,
    judged_by: Callable[..., None],
    monkeypatch: pytest.MonkeyPatch,
    score: str,
    advice: str,
) -> None:
    judged_by(lambda *_: {"error_rate": 0.1, "similarity": 0.7})
    monkeypatch.setattr("timbre.listening.Quality", Mock(side_effect=NotAvailableError(ABSENT)))
    with pytest.raises(InputError, match=rf"validation\.score: {advice}"):
        train_here(*LISTENING, "validation.judges=[dnsmos]", f"+validation.score.{score}=-1")
    run = RunDir(Path("run"))
    assert read_metrics(run.metrics)[-1]["update"] == 0
    assert not run.last_checkpoint.exists()


def test_a_start_that_cannot_speak_is_no_baseline(
    train_here: Train, judged_by: Callable[..., None]
) -> None:
    judged_by(lambda *_: {"error_rate": 0.6, "similarity": 0.9})
    code, run = train_here(*LISTENING, "validation.intelligible=0.5")
    assert code == 0
    rows = read_metrics(run.metrics)
    assert curve(rows, "val/error_rate")[0] == [0, 2]
    assert curve(rows, "val/score")[0] == []
    assert load_bundle(run.voice).about["updates"] == 2
    assert "Does it sound better?" not in run.report.read_text()


def test_babble_is_not_listened_to(train_here: Train) -> None:
    code, run = train_here(*LISTENING, "validation.babble_nats=0.5", "train.updates=1")
    assert code == 0
    assert curve(read_metrics(run.metrics), "val/error_rate")[0] == []


def test_a_ruinous_learning_rate_ends_with_the_untuned_weights(
    train_here: Train, judged_by: Callable[..., None], base_run: RunDir
) -> None:
    judged_by(lambda moved, _: {"error_rate": 0.1 + 20 * moved, "similarity": 0.7 + moved})
    code, run = train_here(
        *LISTENING,
        "optimizer.rates.gpt=0.05",
        "optimizer.rates.sovits=0.05",
        "schedule.warmup=0",
    )
    assert code == 0
    rows = read_metrics(run.metrics)
    assert curve(rows, "val/error_rate")[1][-1] > 0.12
    tuned, start = load_bundle(run.voice), load_bundle(base_run.voice)
    assert tuned.about["updates"] == 0
    untuned = start.networks.state_dict()
    for name, tensor in tuned.networks.state_dict().items():
        assert torch.equal(tensor, untuned[name]), name
    report = run.report.read_text()
    assert "Fine-tuning did not help" in report
    assert "never understood as well" in report
    last = torch.load(run.last_checkpoint, weights_only=True)["state_dict"]
    assert not torch.equal(last["networks.gpt.head.weight"], untuned["gpt.head.weight"])


def test_the_best_understood_voice_is_the_bundle(
    train_here: Train, judged_by: Callable[..., None]
) -> None:
    heard = {0: (0.10, 0.70), 1: (0.11, 0.80), 2: (0.20, 0.95), 3: (0.10, 0.75)}
    judged_by(lambda _, update: dict(zip(("error_rate", "similarity"), heard[update], strict=True)))
    code, run = train_here(*LISTENING, "train.updates=3", "validation.every=1")
    assert code == 0
    assert load_bundle(run.voice).about["updates"] == 1
    best = torch.load(run.best_checkpoint, weights_only=True)["state_dict"]
    for name, tensor in load_bundle(run.voice).networks.state_dict().items():
        assert torch.equal(tensor, best[f"networks.{name}"].half().float()), name
    rows = read_metrics(run.metrics)
    assert curve(rows, "val/score") == ([0, 1, 3], [0.7, 0.8, 0.75])
    assert "Fine-tuning helped" in run.report.read_text()


def test_a_voice_that_does_not_get_better_ends_the_run(
    train_here: Train, judged_by: Callable[..., None]
) -> None:
    judged_by(lambda _, update: {"error_rate": 0.1, "similarity": 0.7 - 0.01 * update})
    code, run = train_here(
        *LISTENING, "train.updates=9", "validation.every=1", "validation.patience=2"
    )
    assert code == 0
    assert read_metrics(run.metrics)[-1]["update"] == 2


def test_a_resumed_run_hears_what_an_unbroken_one_hears(
    train_here: Train, resume_in: Train, signal_at: Callable[..., None], listened: RunDir
) -> None:
    signal_at(1, "gpt")
    code, run = train_here(*LISTENING, "validation.sentences=1")
    assert code == 130
    code, run = resume_in(run.folder)
    assert code == 0
    resumed, unbroken = read_metrics(run.metrics), read_metrics(listened.metrics)
    for name in ("error_rate", "similarity", "mel_distance"):
        updates, values = curve(unbroken, f"val/{name}")
        assert curve(resumed, f"val/{name}") == (updates, pytest.approx(values, rel=1e-4)), name


def test_scores_and_judges_are_checked() -> None:
    with pytest.raises(ValueError, match=r"validation\.score: no measure 'beauty'"):
        ValidationConfig(score={"beauty": 1.0})
    with pytest.raises(ValueError, match=r"validation\.judges: no judge 'mother'"):
        ValidationConfig(judges=["mother"])
    with pytest.raises(ValueError, match=r"validation\.tolerance is -1"):
        ValidationConfig(tolerance=-1.0)


def row(update: int, error: float, similarity: float, understood: bool = True) -> dict[str, float]:
    values = {"update": float(update), "val/similarity": similarity}
    values |= {"val/error_rate": error, "val/phoneme_error": error}
    return values | ({"val/score": similarity} if understood else {})


def test_the_verdict_names_gain_baseline_and_human() -> None:
    human = {"val/human_similarity": 0.9, "val/human_error_rate": 0.08}
    human |= {"val/human_phoneme_error": 0.08}
    rows = [row(0, 0.1, 0.7) | human, row(100, 0.09, 0.8), row(200, 0.1, 0.78)]
    text = "\n".join(verdict(rows, [100], ValidationConfig()))
    assert "**Fine-tuning helped.**" in text
    assert "similarity: 0.700 → 0.800 (human recordings 0.900): 50% of the way" in text
    assert "phoneme errors: 10.0 → 9.0 % (human recordings 8.0)" in text
    assert "| **update 100** |" in text


def test_the_verdict_says_why_nothing_helped() -> None:
    misunderstood = [row(0, 0.1, 0.7), row(100, 0.2, 0.9, understood=False)]
    text = "\n".join(verdict(misunderstood, [0], ValidationConfig()))
    assert "did not help" in text
    assert "at least 20.0% were errors, and 12.0% are allowed" in text
    less_alike = [row(0, 0.1, 0.7), row(100, 0.1, 0.6)]
    text = "\n".join(verdict(less_alike, [0], ValidationConfig()))
    assert "No score was above the un-tuned voice's 0.700" in text
    assert "Nothing was compared" in verdict([row(0, 0.1, 0.7)], [0], ValidationConfig())[0]


def test_the_verdict_on_a_mean_has_its_score_and_names_its_updates() -> None:
    """Also where no single update was better than the start."""
    rows = [row(0, 0.1, 0.7), row(100, 0.1, 0.69), row(200, 0.1, 0.68)]
    rows[-1] |= {"average/error_rate": 0.1, "average/similarity": 0.75, "average/score": 0.75}
    text = "\n".join(verdict(rows, [100, 200], ValidationConfig(average=2)))
    assert "that of the mean of updates 100, 200: its score is 0.750, the un-tuned" in text
    assert "similarity: 0.700 → 0.750" in text
    assert "| **the mean of updates 100, 200** |" in text
    assert "| update 200 |" in text


def test_a_judge_that_hardly_understands_the_human_is_lenient_and_doubted() -> None:
    config = ValidationConfig(tolerance=0.02, lenience=1.25)
    assert error_limit({"error_rate": 0.1, "human_error_rate": 0.06}, config) == pytest.approx(0.12)
    weak = {"error_rate": 0.48, "human_error_rate": 0.56}
    assert error_limit(weak, config) == pytest.approx(0.72)
    rows = [row(0, 0.48, 0.7) | {"val/human_error_rate": 0.56}, row(100, 0.6, 0.8)]
    assert "misunderstands 56% of the human" in "\n".join(verdict(rows, [100], config))


def test_other_runs_keep_the_lowest_reconstruction(train_here: Train) -> None:
    code, run = train_here(
        "train.modules=[vocoder]",
        "data.with_audio=true",
        "train.updates=2",
        "validation.every=1",
    )
    assert code == 0
    saved = torch.load(run.last_checkpoint, weights_only=True)["timbre"]
    _, losses = curve(read_metrics(run.metrics), "val/wave_mel")
    assert saved["best_score"] == pytest.approx(-min(losses), rel=1e-4)
    assert saved["error_limit"] is None
