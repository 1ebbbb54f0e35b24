"""A manifest of many rows opens in little time and memory: TIMBRE_ROWS=1000000 pytest -s …"""

import gc
import json
import os
import time
from itertools import islice
from pathlib import Path

import numpy as np
import pytest

from data.config import DataConfig
from data.datamodule import VoiceDataModule
from data.extraction import feature_fields
from data.features import FeatureStore
from data.known_stores import KnownStore
from data.mel import AudioConfig
from data.packed import PackedField

ROWS = int(os.environ.get("TIMBRE_ROWS", "20000"))
CONFIG = AudioConfig()
SPEAKERS = 500
FILES = 200


def large_voice(folder: Path) -> Path:
    """A manifest, and its features in files with holes: 100 to 1000 frames a row, all of them 0."""
    for number in range(FILES):
        (folder / f"{number}.wav").touch()
    with (folder / "manifest.jsonl").open("w", encoding="utf-8") as file:
        for row in range(ROWS):
            line = {
                "id": f"clip-{row:07d}",
                "audio": f"{row % FILES}.wav",
                "text": "A sentence of some length, as people say them when they read a book.",
                "speaker": f"speaker-{row % SPEAKERS:03d}",
                "language": "en",
                "seconds": 5.0,
                "split": "validation" if row % 1000 == 0 else "train",
            }
            file.write(json.dumps(line) + "\n")
    rng = np.random.default_rng(0)
    frames = rng.integers(100, 1001, ROWS)
    labels = np.zeros((ROWS, 3), dtype=np.uint32)
    labels[:, 0], labels[:, 2] = np.arange(ROWS) % SPEAKERS, np.arange(ROWS) % 1000 == 0
    lengths = {"audio": frames * CONFIG.hop_samples, "mel": frames, "f0": frames}
    lengths |= {name: np.full(ROWS, 60) for name in ("phonemes", "marks", "id", "text")}
    lengths["labels"] = np.ones(ROWS, dtype=np.int64)
    names = (PackedField("id", "uint8"), PackedField("text", "uint8"))
    fields = (*feature_fields(CONFIG), *names, PackedField("labels", "uint32", (3,)))
    store = folder / "cache" / "features-large"
    store.mkdir(parents=True)
    for field in fields:
        ends = np.cumsum(lengths[field.name], dtype=np.int64)
        (store / f"{field.name}.ends").write_bytes(ends.tobytes())
        with (store / f"{field.name}.bin").open("wb") as file:
            file.truncate(int(ends[-1]) * field.item_bytes)
    (store / "labels.bin").write_bytes(labels.tobytes())
    index = {
        "fingerprint": "large",
        "rows": ROWS,
        "fields": [[field.name, field.dtype, list(field.shape)] for field in fields],
        "extra": {"speakers": [f"speaker-{n:03d}" for n in range(SPEAKERS)], "languages": ["en"]},
    }
    (store / "index.json").write_text(json.dumps(index))
    manifest = folder / "manifest.jsonl"
    KnownStore(manifest, CONFIG, folder / "cache", None).remember(FeatureStore(store))
    return manifest


def own_memory() -> float:
    """Memory of this process in MB, without the pages of mapped files."""
    status = Path("/proc/self/status").read_text()
    return int(status.split("RssAnon:")[1].split()[0]) / 1024


@pytest.mark.skipif(not Path("/proc/self/status").is_file(), reason="reads Linux's /proc")
def test_opening_takes_little_time_and_memory(tmp_path: Path) -> None:
    manifest = large_voice(tmp_path)
    settings = DataConfig(manifest=str(manifest), language="en", workers=0, with_audio=False)
    module = VoiceDataModule(settings, CONFIG, tmp_path / "cache")
    gc.collect()
    before, started = own_memory(), time.process_time()
    module.setup()
    opened, memory = time.process_time() - started, own_memory() - before
    started = time.process_time()
    batches = list(islice(module.train_dataloader(), 3))
    first = time.process_time() - started
    assert all(len(batch.ids) > 1 for batch in batches)
    print(
        f"\n{ROWS} rows: opened in {opened:.1f} s and {memory:.0f} MB, three batches in "
        f"{first:.1f} s; then {own_memory() - before:.0f} MB in all"
    )
    # Ten times the measured ones: machines differ, growth with the square of the rows does not.
    assert opened < 5 + 200e-6 * ROWS
    assert own_memory() - before < 60 + 1000e-6 * ROWS
