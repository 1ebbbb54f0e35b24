"""The commands as a user runs them: exit codes, messages, signals, several processes."""

from __future__ import annotations

import logging
import os
import re
import resource
import runpy
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import soundfile
import torch

from timbre.commands import compose
from timbre.metrics import read_metrics
from timbre.training import train

ROOT = Path(__file__).resolve().parents[2]
COMMANDS = ["train", "synthesize", "data_curve", "corpus"]
RATIOS = ("feature_matching", "wave_feature_matching", "wave_stft")
CLOCKS = {"train/updates_per_second", "val/seconds", "val/gallery_seconds"}


def command(name: str, *words: str) -> list[str]:
    return [sys.executable, str(ROOT / "scripts" / f"{name}.py"), *words]


def run(name: str, *words: str, cwd: Path) -> subprocess.CompletedProcess[str]:
    """Runs a command to its end; what it prints comes back as text."""
    return subprocess.run(
        command(name, *words), cwd=cwd, capture_output=True, text=True, timeout=600, check=False
    )


@pytest.fixture
def run_here(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys, caplog):
    """`run_here(name, *words)`: the command in this process, which has its imports done already.

    Returns the exit code, and what it printed and logged.
    """
    caplog.set_level(logging.INFO)
    monkeypatch.chdir(tmp_path)
    handler = signal.getsignal(signal.SIGTERM)

    def run_it(name: str, *words: str) -> tuple[object, str]:
        monkeypatch.setattr(sys, "argv", command(name, *words)[1:])
        caplog.clear()
        with pytest.raises(SystemExit) as exit_:
            runpy.run_path(sys.argv[0], run_name="__main__")
        return exit_.value.code, capsys.readouterr().err + caplog.text

    yield run_it
    signal.signal(signal.SIGTERM, handler)


def assert_quiet(text: str) -> None:
    """Nothing of Lightning's, no warnings, and no line twice."""
    lines = [line for line in text.splitlines() if line.strip()]
    assert not [line for line in lines if re.search("warn|litlogger|GPU|Trainer", line, re.I)], text
    assert len(lines) == len(set(lines)), text


@pytest.mark.parametrize("name", COMMANDS)
def test_help_answers_at_once(name: str, tmp_path: Path) -> None:
    """In less than a second of computing, since it imports neither torch nor Hydra."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    words = [sys.executable, "-X", "importtime", *command(name, "--help")[1:]]
    done = subprocess.run(words, cwd=tmp_path, capture_output=True, text=True, check=True)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    assert (after.ru_utime + after.ru_stime) - (before.ru_utime + before.ru_stime) < 1.0
    imported = {line.rpartition("|")[2].strip() for line in done.stderr.splitlines()}
    assert "data.errors" in imported
    assert not imported & {"torch", "hydra", "lightning", "numpy"}
    assert "python scripts/" in done.stdout
    assert "model/vocoder=hifigan_v1|" in done.stdout


def test_mistakes_in_the_configuration_exit_with_2(run_here) -> None:
    code, printed = run_here("train", "data=myvoice", "train.updatse=3")
    assert code == 2
    assert printed.startswith("error: configuration: unknown key 'train.updatse'.")
    assert "Did you mean 'updates'? Valid here: updates, minutes, seed" in printed
    assert "Traceback" not in printed
    assert not Path("runs").exists()


def test_nothing_to_say_exits_with_2(run_here) -> None:
    code, printed = run_here("synthesize", "voice=nobody", "text= ", "output=x.wav")
    assert (code, printed) == (2, "error: text is empty: there is nothing to say\n")


@pytest.mark.parametrize(
    ("word", "message"),
    [
        ("sed=1", "unknown key 'sed'. Did you mean 'seed'?"),
        ("seed=often", "seed"),
        ("validation_every=1", "validation_every must be at least 2"),
        ("teachers=[{teacher: flite, base: slt, voices: 0, minutes: 1}]", "at least one voice"),
        ("target=", "say where the corpus goes: target=DIR"),
    ],
)
def test_mistakes_about_the_corpus_exit_with_2(word: str, message: str, run_here) -> None:
    code, printed = run_here("corpus", word)
    assert code == 2
    assert printed.startswith("error: ")
    assert message in printed


@pytest.mark.parametrize(
    ("word", "message"),
    [
        ("input=nothing", "no such file or folder"),
        ("quality.min_snr=3", "min_snr_db"),
    ],
)
def test_mistakes_about_recordings_exit_with_2(word: str, message: str, run_here) -> None:
    places = ["output=voices", "cache=cache", "input=.", "speaker=anna", "language=en"]
    code, printed = run_here("prepare", *places, word)
    assert code == 2
    assert printed.startswith("error: ")
    assert message in printed


def interrupted(words: list[str], number: signal.Signals, metrics: Path, cwd: Path) -> str:
    """Starts a training, sends the signal after two more updates, and returns what it printed."""
    enough = len(read_metrics(metrics)) + 2
    process = subprocess.Popen(words, cwd=cwd, stderr=subprocess.PIPE, text=True)
    try:
        deadline = time.monotonic() + 300
        while len(read_metrics(metrics)) < enough and time.monotonic() < deadline:
            assert process.poll() is None, process.stderr.read() if process.stderr else ""
            time.sleep(0.1)
        process.send_signal(number)
        _, printed = process.communicate(timeout=120)
    finally:
        process.kill()
        process.wait()
    assert process.returncode == 128 + number, printed
    return printed


@pytest.mark.slow
def test_ctrl_c_and_sigterm_save_and_the_printed_command_goes_on(
    tmp_path: Path, tiny: list[str], voice: list[str], run_here
) -> None:
    folder = tmp_path / "a run"
    few = ["experiment=smoke", "validation.every=100000", "train.modules=[gpt,sovits]"]
    words = [*tiny, *voice, *few, f"run.dir={folder}", "train.updates=100000"]
    metrics = folder / "metrics.csv"
    printed = interrupted(command("train", *words), signal.SIGINT, metrics, tmp_path)
    assert_quiet(printed)
    advice = f"go on with: python {ROOT}/scripts/train.py resume='{folder}'"
    assert advice in printed

    again = command("train", f"resume={folder}")
    assert advice in interrupted(again, signal.SIGTERM, metrics, tmp_path)

    saved = torch.load(folder / "checkpoints" / "last.ckpt", weights_only=True)["timbre"]["update"]
    code, printed = run_here("train", f"resume={folder}", f"train.updates={saved + 1}")
    assert code == 0
    assert f"resuming at update {saved} of {saved + 1}" in printed
    updates = [row["update"] for row in read_metrics(metrics)]
    assert updates == list(range(saved + 2))


@pytest.mark.slow
def test_two_processes_train_as_one_does(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, tiny: list[str], equal_voice: list[str]
) -> None:
    """From nothing, tokenizer and discriminators too.

    Each process takes the mean over its own part of a batch. The mean of these means is that of the
    batch if all parts weigh the same: here all clips are equally long. Dropout, the augmentation
    inside the tokenizer and the noise of the flow_matching decoder and the prior_istft vocoder are
    drawn by each process alone, so they are left out; and so are the terms that are ratios of two
    sums over the batch (`RATIOS`), which differ a little between a batch and its parts.
    """
    words = [
        *tiny,
        *equal_voice,
        "experiment=smoke",
        "model/decoder=regression",
        "model/vocoder=hifigan_v3",
        "model.gpt.dropout=0",
        "train.tokenizer_augmentation=false",
        "train.tokenizer_updates=1",
        "train.updates=3",
        "train.average_decay=0.9",
        "validation.samples=0",
        "schedule.warmup=0",
        "optimizer.rates.tokenizer=1e-6",
        # Adam divides by the gradient's size, which makes rounding errors of tiny ones large.
        "optimizer.options.eps=1e-3",
        *(f"objective.weights.{name}=0" for name in RATIOS),
    ]
    two = ["trainer=ddp", "trainer.accelerator=cpu", "trainer.precision=32-true"]
    done = run("train", *words, *two, f"run.dir={tmp_path / 'two'}", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    monkeypatch.chdir(tmp_path)
    alone = [*words, f"run.dir={tmp_path / 'one'}"]
    assert train(compose("train", alone), alone) == 0

    one, both = (read_metrics(tmp_path / name / "metrics.csv") for name in ("one", "two"))
    assert [row["update"] for row in one] == [row["update"] for row in both] == [0, 1, 2, 3]
    for left, right in zip(one, both, strict=True):
        assert left.keys() == right.keys()
        for name in left.keys() - CLOCKS - {f"train/{ratio}" for ratio in RATIOS}:
            assert right[name] == pytest.approx(left[name], rel=1e-4, abs=1e-5), name
    states = [
        torch.load(tmp_path / name / "checkpoints" / "last.ckpt", weights_only=True)["state_dict"]
        for name in ("one", "two")
    ]
    assert states[0].keys() == states[1].keys()
    for name, tensor in states[0].items():
        torch.testing.assert_close(states[1][name], tensor, rtol=1e-4, atol=1e-6, msg=name)


@pytest.mark.slow
def test_a_smoke_run_on_the_bundled_voice_speaks(tmp_path: Path, workshop: Path, run_here) -> None:
    """All of it at the size of the base: train from nothing, find the run by name, speak."""
    assets = ROOT / "assets" / "myvoice"
    words = [
        "data=myvoice",
        f"data.manifest={assets / 'manifest.jsonl'}",
        f"data.heldout={assets / 'heldout.jsonl'}",
        "experiment=smoke",
        "train.updates=2",
        "train.tokenizer_updates=2",
        f"run.cache={workshop / 'cache'}",
    ]
    done = run("train", *words, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert_quiet(re.sub(r"features-\w+: .*", "", done.stderr))
    folder = tmp_path / "runs" / "myvoice" / "latest"
    assert read_metrics(folder / "metrics.csv")[-1]["update"] == 2
    assert list((folder / "tensorboard").glob("events.*"))

    text = 'He said, "it works (mostly)": $5 or 10%?'
    code, printed = run_here("synthesize", "voice=myvoice", f"text={text}", "output=hello.wav")
    assert code == 0
    assert re.search(r"hello\.wav: .* s of speech in .* s\n$", printed)
    info = soundfile.info(tmp_path / "hello.wav")
    assert (info.samplerate, info.subtype, info.channels) == (24000, "PCM_16", 1)
    assert info.duration > 0.5
    assert os.stat(tmp_path / "hello.wav").st_mode & 0o444 == 0o444
