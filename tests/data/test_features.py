"""The feature store and the token store: what is in them, and what a kill or a change leaves."""

import logging
import pickle
import resource
import sys
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch

from data import audio as audio_files
from data.errors import InputError
from data.features import FeatureStore, feature_fingerprint
from data.manifest import read_manifest
from data.mel import AudioConfig, LogMel
from data.packed import PackedArrays, PackedField, open_or_build_packed
from data.pitch_track import PitchTracker
from data.text.frontend import phonemize
from data.token_store import TokenStore

CONFIG = AudioConfig()


def even_tokens(spoken):
    """Tokens that count up, dealt out evenly to the phonemes."""
    answers = []
    for mel, phonemes in spoken:
        tokens = -(-mel.shape[1] // 4)
        edges = np.linspace(0, tokens, len(phonemes) + 1).astype(np.int64)
        answers.append((np.arange(tokens), np.diff(edges)))
    return answers


def test_stored_features_are_those_of_the_recording(make_voice, tmp_path):
    utterances = read_manifest(make_voice("voice", {"ann": 3, "bob": 2}))
    store = FeatureStore.open_or_build(utterances, CONFIG, tmp_path / "cache", workers=0)

    assert len(store) == 5
    assert store.speakers == ["ann", "bob"]
    assert store.rows_of("train").tolist() == [0, 1, 3]
    for row, utterance in enumerate(utterances):
        stored = store[row]
        recording = audio_files.read(utterance.audio, CONFIG.sample_rate_hz)
        frames = -(-len(recording) // CONFIG.hop_samples)
        assert (stored.id, stored.text) == (utterance.id, utterance.text)
        assert (stored.speaker, stored.split) == (utterance.speaker, utterance.split)
        assert stored.audio.shape == (frames * CONFIG.hop_samples,)
        assert np.array_equal(stored.audio[: len(recording)] / 32768, recording)
        assert not stored.audio[len(recording) :].any()
        assert stored.f0.shape == (frames,)
        fresh = LogMel(CONFIG)(torch.from_numpy(stored.audio.astype(np.float32) / 32768)[None])[0]
        assert np.abs(stored.mel.T - fresh.numpy()).max() < 0.01
        phonemes = phonemize(utterance.text, utterance.language)
        assert np.array_equal(stored.phonemes, phonemes.ids)
        assert np.array_equal(stored.marks, phonemes.marks)
    assert store.frames.tolist() == [len(store[row].mel) for row in range(5)]


def test_pitch_sits_on_its_mel_frame():
    # Pitch that rises through the recording: an error of a frame is an error of 4 Hz.
    rate, seconds = CONFIG.sample_rate_hz, 1.5
    time_axis = np.arange(round(rate * seconds)) / rate
    hz = 120 + 375 * time_axis / seconds
    phase = 2 * np.pi * np.cumsum(hz) / rate
    audio = sum(np.sin(k * phase) / k for k in range(1, 12)).astype(np.float32) * 0.1
    audio[: rate // 4] = 0

    f0 = PitchTracker(CONFIG)(audio)

    frames = len(audio) // CONFIG.hop_samples
    assert f0.shape == (frames,)
    assert f0.dtype == np.float32
    centres = np.arange(frames) * CONFIG.hop_samples + CONFIG.hop_samples // 2
    assert not f0[centres < rate // 4 - 1500].any()
    inside = (centres > rate // 4 + 2000) & (centres < len(audio) - 2000)
    assert (f0[inside] > 0).all()
    error = f0[inside] - hz[centres[inside]]
    assert abs(np.median(error)) < 1.0
    assert np.abs(error).max() < 12


def test_silence_has_no_pitch():
    assert not PitchTracker(CONFIG)(np.zeros(24000, dtype=np.float32)).any()


def test_processes_build_the_same_store(make_voice, tmp_path, monkeypatch):
    utterances = read_manifest(make_voice("voice", {"ann": 5}))
    many = [replace(u, id=f"{u.id}-{k}") for k in range(4) for u in utterances]
    monkeypatch.setattr("data.extraction._WORTH_A_WORKER", 1)
    alone = FeatureStore.open_or_build(many, CONFIG, tmp_path / "alone", workers=0)
    pooled = FeatureStore.open_or_build(many, CONFIG, tmp_path / "pooled", workers=1)
    assert len(pooled) == len(many)
    for name in ("audio", "mel", "f0", "phonemes", "marks", "id", "labels"):
        assert np.array_equal(alone.packed.column(name), pooled.packed.column(name)), name


def test_fingerprint_follows_content(make_voice, tmp_path):
    utterances = read_manifest(make_voice("voice", {"ann": 2}))
    first = feature_fingerprint(utterances, CONFIG)
    assert feature_fingerprint(utterances, CONFIG) == first
    assert feature_fingerprint(utterances, replace(CONFIG, mel_mean=-5.0)) == first
    assert feature_fingerprint(utterances, replace(CONFIG, floor=1e-4)) != first
    assert (
        feature_fingerprint([replace(utterances[0], text="Other"), utterances[1]], CONFIG) != first
    )
    audio, rate = soundfile.read(utterances[1].audio, dtype="int16")
    audio[100] += 1
    soundfile.write(utterances[1].audio, audio, rate, subtype="PCM_16")
    assert feature_fingerprint(utterances, CONFIG) != first


def test_lexicon_changes_phonemes_and_fingerprint(make_voice, tmp_path):
    utterances = read_manifest(make_voice("a", {"ada": 1}))
    lexicon = tmp_path / "words.tsv"
    lexicon.write_text("sentence\tˈsɛntɛns\n", encoding="utf-8")
    plain = FeatureStore.open_or_build(utterances, CONFIG, tmp_path / "cache", workers=0)
    taught = FeatureStore.open_or_build(utterances, CONFIG, tmp_path / "cache", 0, lexicon)
    assert taught.fingerprint != plain.fingerprint
    assert taught[0].phonemes.tolist() != plain[0].phonemes.tolist()


def test_opening_again_computes_nothing(make_voice, tmp_path, monkeypatch):
    utterances = read_manifest(make_voice("voice", {"ann": 2}))
    FeatureStore.open_or_build(utterances, CONFIG, tmp_path / "cache", workers=0)
    monkeypatch.setattr("data.features.extract_all", None)
    assert len(FeatureStore.open_or_build(utterances, CONFIG, tmp_path / "cache", workers=0)) == 2


def test_bad_utterances_are_named(make_voice, tmp_path):
    utterances = read_manifest(make_voice("voice", {"ann": 2}))
    soundfile.write(utterances[1].audio, np.zeros(100), 24000)
    with pytest.raises(InputError, match=r"ann-1.*only 100 samples"):
        FeatureStore.open_or_build(utterances, CONFIG, tmp_path / "cache", workers=0)
    with pytest.raises(InputError, match="utterance ann-0"):
        FeatureStore.open_or_build(
            [replace(utterances[0], text="...")], CONFIG, tmp_path / "cache", workers=0
        )
    utterances[1].audio.unlink()
    with pytest.raises(InputError, match=r"ann-1.*ann-1\.wav"):
        feature_fingerprint(utterances, CONFIG)


FIELDS = (PackedField("x", "float32", (3,)), PackedField("n", "uint16"))


def synthetic_rows(start: int, stop: int):
    for row in range(start, stop):
        yield {
            "x": np.full((row % 5, 3), row, dtype=np.float32),
            "n": np.array([row % 60000], dtype=np.uint16),
        }


def test_killed_build_leaves_nothing_to_open_and_goes_on(tmp_path):
    folder, made = tmp_path / "store", []

    def killed(start):
        yield from synthetic_rows(start, 150)
        raise KeyboardInterrupt

    def whole(start):
        made.append(start)
        yield from synthetic_rows(start, 200)

    with pytest.raises(KeyboardInterrupt):
        open_or_build_packed(folder, "f", FIELDS, 200, killed, dict)
    assert not folder.exists()
    with pytest.raises(FileNotFoundError):
        PackedArrays(folder)
    # A write that was torn by the kill must not shift what comes after it.
    with (tmp_path / "store.unfinished" / "x.bin").open("ab") as file:
        file.write(b"torn")

    store = open_or_build_packed(folder, "f", FIELDS, 200, whole, lambda: {"note": 1})

    assert made == [128]
    assert not (tmp_path / "store.unfinished").exists()
    assert (len(store), store.fingerprint, store.extra) == (200, "f", {"note": 1})
    for row, expected in enumerate(synthetic_rows(0, 200)):
        assert np.array_equal(store.row(row, "x"), expected["x"])
        assert np.array_equal(store.row(row, "n"), expected["n"])


def test_wrong_rows_are_refused(tmp_path):
    rows = [{"x": np.zeros((2, 4), dtype=np.float32), "n": np.zeros(1, dtype=np.uint16)}]
    with pytest.raises(ValueError, match="field x must be float32"):
        open_or_build_packed(tmp_path / "s", "f", FIELDS, 1, lambda start: iter(rows), dict)


def test_unwritable_cache_is_the_users_fault(tmp_path):
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(InputError, match="cannot write the feature cache"):
        open_or_build_packed(
            tmp_path / "file" / "store",
            "f",
            FIELDS,
            1,
            lambda start: synthetic_rows(start, 1),
            dict,
        )


def resident_bytes() -> int:
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * resource.getpagesize()


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="reads memory use from /proc")
def test_large_store_opens_fast_and_small(tmp_path):
    # 100 000 rows and 60 MB, written as the writer would.
    folder, rows, length = tmp_path / "store", 100_000, 50
    folder.mkdir()
    np.full(rows * length * 3, 1.5, dtype=np.float32).tofile(folder / "x.bin")
    np.arange(rows, dtype=np.uint16).tofile(folder / "n.bin")
    (np.arange(1, rows + 1) * length).tofile(folder / "x.ends")
    np.arange(1, rows + 1).tofile(folder / "n.ends")
    (folder / "index.json").write_text(
        '{"fingerprint": "f", "rows": 100000, "extra": {}, '
        '"fields": [["x", "float32", [3]], ["n", "uint16", []]]}'
    )
    before, start = resident_bytes(), time.perf_counter()
    store = PackedArrays(folder)
    assert store.row(99_999, "x").shape == (length, 3)
    assert store.lengths("n").sum() == rows
    assert time.perf_counter() - start < 0.5
    assert resident_bytes() - before < 20e6
    assert len(pickle.dumps(store)) < 1000
    assert np.array_equal(pickle.loads(pickle.dumps(store)).row(7, "n"), [7])
    with pytest.raises(IndexError):
        store.row(100_000, "x")


def test_tokens_belong_to_their_rows(make_voice, tmp_path, caplog):
    utterances = read_manifest(make_voice("voice", {"ann": 7}))
    store = FeatureStore.open_or_build(utterances, CONFIG, tmp_path / "cache", workers=0)
    calls = []

    def tokenize(spoken):
        calls.append(len(spoken))
        assert all(mel.shape[0] == CONFIG.mel_channels for mel, _ in spoken)
        lost = [mel.shape[1] == len(store[2].mel) for mel, _ in spoken]
        answers = even_tokens(spoken)
        return [None if gone else answer for gone, answer in zip(lost, answers, strict=True)]

    with caplog.at_level(logging.WARNING):
        tokens = TokenStore.open_or_build(
            store, tokenize, "tokenizer 1", tmp_path / "cache", items_per_call=3
        )

    assert calls == [3, 3, 1]
    assert tokens.rows.tolist() == [0, 1, 3, 4, 5, 6]
    assert "ann-2" in caplog.text
    for row in tokens.rows.tolist():
        row_tokens, durations = tokens.of_row(row)
        assert len(row_tokens) == -(-len(store[row].mel) // 4)
        assert durations.sum() == len(row_tokens)
        assert len(durations) == len(store[row].phonemes)
    with pytest.raises(KeyError):
        tokens.of_row(2)
    TokenStore.open_or_build(store, tokenize, "tokenizer 1", tmp_path / "cache")
    assert len(calls) == 3
    TokenStore.open_or_build(store, even_tokens, "tokenizer 2", tmp_path / "cache")
    assert len(list(Path(tmp_path / "cache").glob("tokens-*"))) == 4  # two stores, two locks


def test_tokens_that_do_not_fit_are_refused(make_voice, tmp_path):
    utterances = read_manifest(make_voice("voice", {"ann": 1}))
    store = FeatureStore.open_or_build(utterances, CONFIG, tmp_path / "cache", workers=0)

    def one_too_many(spoken):
        return [(np.append(tokens, 0), durations) for tokens, durations in even_tokens(spoken)]

    with pytest.raises(ValueError, match="ann-0"):
        TokenStore.open_or_build(store, one_too_many, "x", tmp_path / "cache")
