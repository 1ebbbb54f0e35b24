"""Several processes and machines: the same output bit for bit."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
import soundfile

import data.preparation.pipeline as pipeline
from data.errors import InputError
from data.manifest import read_manifest
from data.preparation.config import PrepareConfig, TranscribeConfig
from data.preparation.pipeline import prepare

ROOT = Path(__file__).parents[3]


@pytest.fixture
def folder(tmp_path: Path, clips: list[Any]) -> Path:
    """Eight clips with transcripts."""
    (tmp_path / "in").mkdir()
    for clip in clips[:8]:
        soundfile.write(tmp_path / "in" / f"{clip.name}.flac", clip.audio, 24_000)
        (tmp_path / "in" / f"{clip.name}.txt").write_text(clip.text)
    return tmp_path / "in"


def files_of(folder: Path, place: str, **settings: Any) -> dict[str, bytes]:
    """Prepare into a folder of its own, and return all files but the page with the time in it."""
    root = folder.parent / place
    config = PrepareConfig(
        input=str(folder),
        speaker="anna",
        language="en",
        output=str(root / "voices"),
        cache=str(root / "cache"),
        transcribe=TranscribeConfig(check=False),
        **settings,
    )
    prepare(config)
    voice = root / "voices" / "anna"
    kept = [path for path in voice.rglob("*") if path.suffix in (".flac", ".jsonl", ".json")]
    return {path.relative_to(voice).as_posix(): path.read_bytes() for path in sorted(kept)}


@pytest.mark.slow
def test_processes_and_dask_leave_the_same_files(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pipeline, "is_installed", lambda judge: False)
    alone = files_of(folder, "alone", workers=1)
    assert len(alone) == 10
    assert files_of(folder, "processes", workers=2) == alone
    distributed = pytest.importorskip("distributed", reason="Dask is not installed")
    with (
        distributed.LocalCluster(
            n_workers=2, threads_per_worker=1, processes=True, dashboard_address=None
        ) as cluster,
    ):
        assert (
            files_of(folder, "dask", executor="dask", scheduler=cluster.scheduler_address) == alone
        )


def test_dask_that_does_not_answer_is_said(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("distributed", reason="Dask is not installed")
    monkeypatch.setattr("data.preparation.executors._CONNECT_SECONDS", 1)
    with pytest.raises(InputError, match="no Dask scheduler answers"):
        files_of(folder, "dask", executor="dask", scheduler="tcp://127.0.0.1:1")


def command(folder: Path, *words: str) -> list[str]:
    root = folder.parent
    places = [f"output={root / 'voices'}", f"cache={root / 'cache'}", "language=en"]
    script = str(ROOT / "scripts" / "prepare.py")
    return [sys.executable, script, f"input={folder}", "speaker=anna", *places, *words]


def group_ends(group: int, seconds: float) -> bool:
    """Whether all processes of a group end in time."""
    for _ in range(round(10 * seconds)):
        try:
            os.killpg(group, 0)
        except ProcessLookupError:
            return True
        time.sleep(0.1)
    return False


@pytest.mark.slow
def test_the_command_goes_on_after_a_kill(folder: Path) -> None:
    words = command(folder, "transcribe.check=false", "quality.min_dnsmos=0")
    started = subprocess.Popen([*words, "workers=2"], cwd=ROOT, start_new_session=True)
    cache = folder.parent / "cache"
    while started.poll() is None and not list(cache.glob("inspect/*/*.json")):
        time.sleep(0.2)
    started.send_signal(signal.SIGTERM)
    assert started.wait(120) == 143
    assert group_ends(started.pid, seconds=60), "a worker outlived the command"
    done = subprocess.run(
        [*words, "workers=1"], cwd=ROOT, capture_output=True, text=True, timeout=600
    )
    assert done.returncode == 0, done.stderr
    assert "Traceback" not in done.stderr
    assert "train.py data=anna" in done.stderr
    assert len(read_manifest(folder.parent / "voices" / "anna" / "manifest.jsonl")) == 8
