"""Manifests that are not read into memory, and stores that are known without reading recordings."""

import json
import tracemalloc
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import soundfile

from data.config import DataConfig
from data.datamodule import VoiceDataModule
from data.errors import InputError
from data.features import FeatureStore
from data.known_stores import KnownStore
from data.manifest import read_manifest
from data.manifest_rows import ManifestRows
from data.mel import AudioConfig

CONFIG = AudioConfig()


def rows_of(count: int) -> list[dict[str, object]]:
    common = {"audio": "a.wav", "text": "Žluťoučký kůň.", "speaker": "ann", "language": "cs"}
    return [
        {**common, "id": f"clip-{n}", "seconds": 1.5 + n, "split": "train"} for n in range(count)
    ]


def write(path: Path, rows: list[dict[str, object]], mark: str = "", between: str = "\n") -> Path:
    (path.parent / "a.wav").touch()
    lines = [json.dumps(row, ensure_ascii=number % 2 == 0) for number, row in enumerate(rows)]
    path.write_text(mark + between.join(lines), encoding="utf-8")
    return path


@pytest.mark.parametrize("mark", ["", "\ufeff"])
@pytest.mark.parametrize("between", ["\n", "\n\n", "\r\n"])
def test_rows_are_those_of_the_file(tmp_path: Path, mark: str, between: str) -> None:
    path = write(tmp_path / "m.jsonl", rows_of(7), mark, between)
    rows, read = ManifestRows(path), read_manifest(path)
    assert list(rows) == read
    assert [rows[number] for number in range(-7, 7)] == read + read
    assert list(rows[2:6]) == read[2:6]
    assert list(rows[2:6][1:]) == read[3:6]
    assert len(rows[3:]) == 4
    assert rows.languages == ["cs"]
    with pytest.raises(IndexError):
        rows[7]


def test_faults_are_those_of_a_read_manifest(tmp_path: Path) -> None:
    twice = rows_of(5)
    twice[3]["id"] = "clip-1"
    cases: list[tuple[list[dict[str, object]], str]] = [
        (twice, r"m\.jsonl:4: id 'clip-1' is already used in line 2"),
        ([{**rows_of(1)[0], "audio": "none.wav"}], r"m\.jsonl:1: audio file .*none\.wav does not"),
        ([{**rows_of(1)[0], "audio": 99 * "long "}], r"m\.jsonl:1: audio file .*does not exist"),
        ([{**rows_of(1)[0], "split": "test"}], r"m\.jsonl:1: field 'split'"),
        ([], "holds no utterances"),
    ]
    for rows, message in cases:
        path = write(tmp_path / "m.jsonl", rows)
        for opened in (ManifestRows, read_manifest):
            with pytest.raises(InputError, match=message):
                opened(path)
    (tmp_path / "m.jsonl").write_bytes(b"{}\n\xff\xfe\n")
    with pytest.raises(InputError, match=r"m\.jsonl:(1|2)"):
        ManifestRows(tmp_path / "m.jsonl")
    with pytest.raises(InputError, match="no such manifest"):
        ManifestRows(tmp_path / "none.jsonl")


def test_ten_thousand_rows_take_their_places_only(tmp_path: Path) -> None:
    path = write(tmp_path / "m.jsonl", rows_of(10_000))
    tracemalloc.start()
    rows = ManifestRows(path)
    kept, most = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert len(rows) == 10_000
    assert kept < 0.3e6
    assert most < 2e6


def known(voice: Path, cache: Path, lexicon: Path | None = None) -> KnownStore:
    return KnownStore(voice, CONFIG, cache, lexicon)


def test_a_store_is_known_until_something_changes(
    make_voice: Callable[..., Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    voice, cache = make_voice("voice", {"ann": 3}), tmp_path / "cache"
    settings = DataConfig(manifest=str(voice), workers=0, reference_seconds=[0.2, 0.4])

    def opened() -> FeatureStore:
        VoiceDataModule(settings, CONFIG, cache).setup()
        store = known(voice, cache).open()
        assert store is not None
        return store

    assert known(voice, cache).open() is None
    first = opened()
    with monkeypatch.context() as patch:
        patch.setattr("data.datamodule.ManifestRows", None)
        patch.setattr("data.features.feature_fingerprint", None)
        assert opened().fingerprint == first.fingerprint
    assert KnownStore(voice, AudioConfig(fmax_hz=8000.0), cache, None).open() is None
    words = tmp_path / "words.tsv"
    words.write_text("sentence\tʒɔʒɔ\n", encoding="utf-8")
    assert known(voice, cache, words).open() is None

    recording = voice.parent / "ann-1.wav"
    audio, rate = soundfile.read(recording)
    soundfile.write(recording, np.append(audio, np.zeros(10)), rate, subtype="PCM_16")
    assert known(voice, cache).open() is None
    second = opened()
    assert second.fingerprint != first.fingerprint

    recording.unlink()
    with pytest.raises(InputError, match=r"manifest\.jsonl:2: audio file .*ann-1\.wav"):
        VoiceDataModule(settings, CONFIG, cache).setup()
