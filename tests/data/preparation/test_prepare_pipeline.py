import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile
from filelock import FileLock
from omegaconf import OmegaConf

import data.preparation.pipeline as pipeline
from data.config import DataConfig
from data.errors import InputError
from data.manifest import read_manifest
from data.preparation.config import PrepareConfig, QualityConfig, TranscribeConfig
from data.preparation.pipeline import prepare
from data.preparation.recognizer import CreateRecognizer, RecognizerMissing

RATE = 24_000
Spoken = Any  # conftest's: a name, audio and its text
Knows = Callable[..., CreateRecognizer]


@pytest.fixture(autouse=True)
def no_optional_judges(monkeypatch: pytest.MonkeyPatch) -> None:
    """The tests must not depend on what else is installed."""
    monkeypatch.setattr(pipeline, "is_installed", lambda judge: False)


@pytest.fixture
def no_report(monkeypatch: pytest.MonkeyPatch) -> None:
    """Drawing takes longer than everything else together; most tests do not look at it."""
    monkeypatch.setattr(pipeline, "write_report", lambda outcome: None)


@pytest.fixture
def folder(tmp_path: Path, clips: list[Spoken]) -> Path:
    """Eight good clips without transcripts."""
    (tmp_path / "in").mkdir()
    for clip in clips[:8]:
        soundfile.write(tmp_path / "in" / f"{clip.name}.flac", clip.audio, RATE)
    return tmp_path / "in"


def config(source: Path, **settings: Any) -> PrepareConfig:
    root = source.parent
    usual = {"output": str(root / "voices"), "cache": str(root / "cache"), "workers": 1}
    usual |= {"input": str(source), "speaker": "anna", "language": "en"}
    return PrepareConfig(**{**usual, **settings})


def nobody(transcribe: TranscribeConfig, threads: int) -> object:
    raise RecognizerMissing("faster-whisper is not installed: pip install it")


def test_dirty_set_every_fault_is_found_for_its_own_reason(
    tmp_path: Path,
    clips: list[Spoken],
    recognizer: CreateRecognizer,
    dirty_set: Callable[..., dict[str, str]],
) -> None:
    source = tmp_path / "in"
    expected = dirty_set(source, clips[:12], clips[12:20])
    outcome = prepare(config(source), recognizer)
    reasons = {
        clip.recording.path.relative_to(source).as_posix(): reason
        for clip, reason in zip(outcome.clips, outcome.reasons, strict=True)
    }
    assert reasons == expected
    manifest = read_manifest(tmp_path / "voices" / "anna" / "manifest.jsonl")
    assert {row.text for row in manifest} == {clip.text for clip in clips[:12]}
    page = (tmp_path / "voices" / "anna" / "report.html").read_text(encoding="utf-8")
    assert all(reason in page for reason in expected.values())
    assert "1 of 2 channels silent" in page
    assert page.count("data:image/png") >= 5


@pytest.mark.usefixtures("no_report")
def test_voice_is_what_training_expects(
    folder: Path, clips: list[Spoken], recognizer: CreateRecognizer
) -> None:
    prepare(config(folder), recognizer)
    group = OmegaConf.load(folder.parent / "voices" / "data" / "anna.yaml")
    assert set(group) == {"name", "language", "manifest"}
    assert DataConfig(**OmegaConf.to_container(group)).language == "en"
    rows = read_manifest(group.manifest)
    assert {row.text for row in rows} == {clip.text for clip in clips[:8]}
    for row in rows:
        info = soundfile.info(row.audio)
        assert (info.samplerate, info.channels, info.format) == (24_000, 1, "FLAC")
        assert info.duration == pytest.approx(row.seconds, abs=0.01)


@pytest.mark.usefixtures("no_report")
def test_lexicon_says_the_words_and_stays_with_the_voice(
    folder: Path, clips: list[Spoken], recognizer: CreateRecognizer
) -> None:
    word = clips[0].text.split()[0]
    lexicon = folder.parent / "names.tsv"
    lexicon.write_text(f"{word}\tʒɔʒɔ\n", encoding="utf-8")
    plain = prepare(config(folder), recognizer).clips
    changed = prepare(config(folder, lexicon=str(lexicon)), recognizer).clips
    spoken = [(a.text, a.symbols != b.symbols) for a, b in zip(plain, changed, strict=True)]
    assert (clips[0].text, True) in spoken
    assert not any(is_changed for text, is_changed in spoken if word.lower() not in text.lower())
    kept = folder.parent / "voices" / "anna" / "lexicon.tsv"
    group = OmegaConf.load(folder.parent / "voices" / "data" / "anna.yaml")
    assert Path(DataConfig(**OmegaConf.to_container(group)).lexicon) == kept
    assert kept.read_bytes() == lexicon.read_bytes()
    prepare(config(folder, lexicon=str(kept)), recognizer)
    assert kept.read_bytes() == lexicon.read_bytes()
    prepare(config(folder), recognizer)
    assert not kept.exists()
    with pytest.raises(InputError, match="'klingon' has no espeak-ng voice"):
        prepare(config(folder, language="klingon"), nobody)  # type: ignore[arg-type]
    lexicon.write_text("no tab", encoding="utf-8")
    with pytest.raises(InputError, match=r"names\.tsv:1"):
        prepare(config(folder, lexicon=str(lexicon)), nobody)  # type: ignore[arg-type]


@pytest.mark.usefixtures("no_report")
def test_one_long_recording_is_cut_in_pauses_and_loses_no_speech(
    tmp_path: Path, clips: list[Spoken], knows: Knows
) -> None:
    gap = np.zeros(round(1.3 * RATE))
    sound = np.concatenate([part for clip in clips[:8] for part in (clip.audio, gap)])
    soundfile.write(tmp_path / "long.wav", sound, RATE)
    outcome = prepare(config(tmp_path / "long.wav"), knows(clips))
    starts = np.cumsum([0.0] + [(len(c.audio) + len(gap)) / RATE for c in clips[:8]])
    for clip in outcome.clips:
        assert clip.measures is not None
        for start, original in zip(starts, clips, strict=False):
            # No edge lies within an original clip, except in the silence at its ends.
            inside = (start + 0.35, start + len(original.audio) / RATE - 0.35)
            assert not inside[0] < clip.measures.start < inside[1]
            assert not inside[0] < clip.measures.end < inside[1]
    total = sum(len(clip.audio) for clip in clips[:8]) / RATE
    assert sum(clip.seconds for clip in outcome.clips) > 0.85 * total


def test_second_run_does_nothing_and_leaves_the_same(
    folder: Path, recognizer: CreateRecognizer, monkeypatch: pytest.MonkeyPatch
) -> None:
    prepare(config(folder), recognizer)
    voice = folder.parent / "voices" / "anna"
    before = {path: (path.read_bytes(), path.stat().st_mtime_ns) for path in voice.rglob("*.flac")}
    manifest, facts = (voice / "manifest.jsonl").read_bytes(), (voice / "report.json").read_bytes()

    def work(*args: object) -> None:
        raise AssertionError("a step ran again")

    monkeypatch.setattr("data.preparation.running.run_with_progress", work)
    prepare(config(folder), recognizer)
    assert {p: (p.read_bytes(), p.stat().st_mtime_ns) for p in voice.rglob("*.flac")} == before
    assert (voice / "manifest.jsonl").read_bytes() == manifest
    assert (voice / "report.json").read_bytes() == facts


@pytest.mark.usefixtures("no_report")
def test_new_and_changed_recordings_only_are_done_again(
    folder: Path, clips: list[Spoken], monkeypatch: pytest.MonkeyPatch, knows: Knows
) -> None:
    heard: list[int] = []
    create = knows(clips)

    def counting(transcribe: TranscribeConfig, threads: int) -> object:
        recognizer = create(transcribe, threads)
        return lambda audio, language: (heard.append(len(audio)), recognizer(audio, language))[1]

    prepare(config(folder), counting)  # type: ignore[arg-type]
    assert len(heard) == 8
    soundfile.write(folder / "new.wav", clips[9].audio, RATE)
    (folder / f"{clips[0].name}.flac").unlink()
    prepare(config(folder), counting)  # type: ignore[arg-type]
    assert len(heard) == 9
    voice = folder.parent / "voices" / "anna"
    rows = read_manifest(voice / "manifest.jsonl")
    assert {row.text for row in rows} == {clip.text for clip in (*clips[1:8], clips[9])}
    assert {row.audio for row in rows} == set((voice / "audio").glob("*.flac"))
    # Another threshold needs no work at all, only another verdict.
    stricter = QualityConfig(min_snr_db=79.0)
    with pytest.raises(InputError, match="noisy"):
        prepare(config(folder, quality=stricter), counting)  # type: ignore[arg-type]
    assert len(heard) == 9


@pytest.mark.usefixtures("no_report")
def test_killed_run_goes_on_where_it_was(folder: Path, clips: list[Spoken], knows: Knows) -> None:
    heard: list[int] = []
    create = knows(clips)

    def dying(transcribe: TranscribeConfig, threads: int) -> object:
        recognizer = create(transcribe, threads)

        def listen(audio: np.ndarray, language: str | None) -> object:
            if len(heard) == 5:
                raise KeyboardInterrupt
            heard.append(len(audio))
            return recognizer(audio, language)

        return listen

    with pytest.raises(KeyboardInterrupt):
        prepare(config(folder), dying)  # type: ignore[arg-type]
    assert not (folder.parent / "voices" / "anna" / "manifest.jsonl").exists()
    heard.append(0)
    prepare(config(folder), dying)  # type: ignore[arg-type]
    assert len(heard) == 9


@pytest.mark.usefixtures("no_report")
def test_two_runs_on_a_voice_exclude_each_other(folder: Path, recognizer: CreateRecognizer) -> None:
    lock = folder.parent / "voices" / "anna" / ".lock"
    lock.parent.mkdir(parents=True)
    with FileLock(lock), pytest.raises(InputError, match="another run is preparing this voice"):
        prepare(config(folder), recognizer)
    prepare(config(folder), recognizer)


def test_too_little_speech_is_refused_with_reasons(
    tmp_path: Path, clips: list[Spoken], recognizer: CreateRecognizer
) -> None:
    (tmp_path / "in").mkdir()
    soundfile.write(tmp_path / "in" / "a.wav", clips[0].audio, RATE)
    soundfile.write(tmp_path / "in" / "b.wav", np.zeros(RATE), RATE)
    with pytest.raises(InputError, match=r"only .* s of good speech.*1 silent") as caught:
        prepare(config(tmp_path / "in"), recognizer)
    assert "report.html" in str(caught.value)
    assert (tmp_path / "voices" / "anna" / "report.html").is_file()
    assert not (tmp_path / "voices" / "data" / "anna.yaml").exists()


@pytest.mark.usefixtures("no_report")
def test_little_speech_is_warned_about(folder: Path, recognizer: CreateRecognizer) -> None:
    outcome = prepare(config(folder), recognizer)
    assert 20 <= outcome.kept_seconds < 60
    assert any("s of good speech" in note for note in outcome.notes)


@pytest.mark.usefixtures("no_report")
def test_keep_all_keeps_what_can_be_trained_on(
    tmp_path: Path,
    clips: list[Spoken],
    recognizer: CreateRecognizer,
    dirty_set: Callable[..., dict[str, str]],
) -> None:
    source = tmp_path / "in"
    expected = dirty_set(source, clips[:12], clips[12:20])
    outcome = prepare(config(source, keep="all"), recognizer)
    left = {reason for reason, kept in zip(outcome.reasons, outcome.kept, strict=True) if not kept}
    assert left == {"unreadable", "silent", "no speech"} | {"too short"} & set(expected.values())


@pytest.mark.usefixtures("no_report")
def test_transcripts_without_a_recogniser_are_taken_as_they_are(
    folder: Path, clips: list[Spoken]
) -> None:
    for clip in clips[:8]:
        (folder / f"{clip.name}.txt").write_text(clip.text)
    outcome = prepare(config(folder), nobody)  # type: ignore[arg-type]
    assert sum(outcome.kept) == 8
    assert any("not checked: faster-whisper is not installed" in n for n in outcome.notes)


@pytest.mark.usefixtures("no_report")
def test_recordings_without_transcripts_need_a_recogniser(folder: Path) -> None:
    with pytest.raises(InputError, match=r"no transcripts.*pip install"):
        prepare(config(folder), nobody)  # type: ignore[arg-type]


@pytest.mark.usefixtures("no_report")
def test_language_is_heard_where_it_is_not_given(
    folder: Path, recognizer: CreateRecognizer
) -> None:
    outcome = prepare(config(folder, language=None), recognizer)
    assert {row.language for row in outcome.utterances} == {"en"}
    assert "Language, as the recogniser hears it: en." in outcome.notes


@pytest.mark.usefixtures("no_report")
def test_several_speakers_in_one_set(
    folder: Path, clips: list[Spoken], recognizer: CreateRecognizer
) -> None:
    lines = [
        f"{clip.name}.flac|{'ab'[number % 2]}|EN|{clip.text}"
        for number, clip in enumerate(clips[:8])
    ]
    (folder / "all.list").write_text("\n".join(lines))
    outcome = prepare(config(folder, language=None), recognizer)
    assert {row.speaker for row in outcome.utterances} == {"a", "b"}


@pytest.mark.usefixtures("no_report")
def test_transcript_of_a_long_recording_is_divided(
    tmp_path: Path, clips: list[Spoken], knows: Knows
) -> None:
    chosen = clips[:6]
    gap = np.zeros(round(0.9 * RATE))
    sound = np.concatenate([part for clip in chosen for part in (clip.audio, gap)])
    (tmp_path / "in").mkdir()
    soundfile.write(tmp_path / "in" / "long.wav", sound, RATE)
    (tmp_path / "in" / "long.txt").write_text(" ".join(clip.text for clip in chosen))
    starts = np.cumsum([0.0] + [(len(c.audio) + len(gap)) / RATE for c in chosen])

    def create(transcribe: TranscribeConfig, threads: int) -> object:
        known = knows(clips)(transcribe, threads)
        del known
        from data.preparation.recognizer import Heard, Word

        words = []
        for start, clip in zip(starts, chosen, strict=False):
            text = clip.text.split()
            step = (len(clip.audio) / RATE - 0.4) / len(text)
            words += [
                Word(f" {w}", start + 0.2 + k * step, start + 0.2 + (k + 0.9) * step, 0.9)
                for k, w in enumerate(text)
            ]
        position = [0.0]

        def listen(audio: np.ndarray, language: str | None) -> Heard:
            # Windows come in order; each begins where the last one ended or a bit later.
            first = position[0]
            last = first + len(audio) / 16_000 + 1.0
            inside = [w for w in words if first <= w.start < last]
            position[0] = inside[-1].end if inside else last
            origin = inside[0].start - 0.2
            moved = [Word(w.text, w.start - origin, w.end - origin, 0.9) for w in inside]
            return Heard(tuple(moved), "en")

        return listen

    outcome = prepare(config(tmp_path / "in"), create)  # type: ignore[arg-type]
    assert len(outcome.clips) > 1
    assert " ".join(clip.text for clip in outcome.clips) == " ".join(c.text for c in chosen)


def test_configuration_errors_say_what_to_give() -> None:
    for settings, message in (
        ({"speaker": "../x"}, "letters, digits"),
        ({"keep": "some"}, "good or all"),
        ({"executor": "threads"}, "process or dask"),
        ({"executor": "dask"}, "go together"),
        ({"workers": 0}, "1 or more"),
    ):
        with pytest.raises(ValueError, match=message):
            PrepareConfig(**{"input": "x", "speaker": "a", **settings})


def test_report_is_readable_by_programs(folder: Path, recognizer: CreateRecognizer) -> None:
    prepare(config(folder), recognizer)
    facts = json.loads((folder.parent / "voices" / "anna" / "report.json").read_text())
    assert facts["kept"] == 8
    assert {"id", "reason", "snr_db", "text"} <= set(facts["clips"][0])
