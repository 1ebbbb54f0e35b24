import hashlib
import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import soundfile
from omegaconf import OmegaConf

from data import audio
from data.corpus.build import make
from data.corpus.config import (
    ConditionConfig,
    CorpusConfig,
    ReplaySetConfig,
    TeacherConfig,
    TextConfig,
)
from data.corpus.guard import EvaluationGuard, read_sentences
from data.corpus.human import HumanSource, Recording
from data.corpus.plan import Planner
from data.corpus.replay import write_replay
from data.corpus.voices import pseudo_voices
from data.errors import InputError
from data.manifest import read_manifest

MYVOICE = "assets/myvoice/manifest.jsonl"
WORDS = [
    "river",
    "garden",
    "window",
    "teacher",
    "music",
    "paper",
    "winter",
    "letter",
    "bridge",
    "castle",
]
EXAMPLES = [
    f"the {a} saw a {b} near some {c}{mark}"
    for a in WORDS
    for b in WORDS
    for c, mark in zip(WORDS[:4], ("", "?", "", "!"), strict=True)
] + [f"some {a} and" for a in WORDS]


class FakeTeacher:
    sample_rate_hz = 16_000
    licence = "CC0-1.0"

    def __init__(self) -> None:
        self.spoken: list[str] = []

    def speak(self, text, pace, seed):
        self.spoken.append(text)
        seconds = (0.3 + 0.07 * len(text)) / pace
        time = np.arange(int(seconds * self.sample_rate_hz)) / self.sample_rate_hz
        noise = np.random.default_rng(seed).normal(0, 0.02, len(time))
        tone = np.sin(2 * np.pi * 150 * time) * (0.3 + 0.2 * np.sin(2 * np.pi * 3 * time))
        return (tone + noise).astype(np.float32)


@pytest.fixture
def config(tmp_path: Path) -> CorpusConfig:
    return CorpusConfig(
        target=str(tmp_path / "corpus"),
        seed=7,
        teachers=[
            TeacherConfig("fake", "anna", voices=3, minutes=0.5, pitch_low=0.8, pitch_high=1.25),
            TeacherConfig("fake", "bert", voices=1, minutes=0.5),
        ],
        text=TextConfig(phrase_share=0.0),
        validation_every=4,
        development_voices=["fake-bert-00"],
    )


def planned(config, teacher=None, guard=None):
    planner = Planner(config, guard or EvaluationGuard())
    teacher = teacher or FakeTeacher()
    clips = planner.english(EXAMPLES, lambda name, base: teacher)
    planner.check_development_voices()
    return clips


def digests(config) -> dict[str, str]:
    rows = read_manifest(Path(config.target) / "manifest.jsonl")
    return {row.id: hashlib.sha1(row.audio.read_bytes()).hexdigest() for row in rows}


def test_build_writes_a_valid_manifest_of_conditioned_audio(config):
    report = make(planned(config), config, EvaluationGuard())
    rows = read_manifest(Path(config.target) / "manifest.jsonl")

    assert len(rows) == report.clips["fake"] > 20
    assert report.speakers["fake"] == 4
    assert report.hours["fake"] == pytest.approx(sum(r.seconds for r in rows) / 3600, abs=1e-3)
    for row in rows:
        samples, rate = soundfile.read(row.audio)
        assert rate == config.condition.sample_rate_hz
        assert len(samples) / rate == pytest.approx(row.seconds, abs=1e-3)
        assert np.abs(samples).max() <= config.condition.peak + 1e-3
        assert (row.source, row.licence, row.language) == ("fake", "CC0-1.0", "en")
    assert json.loads((Path(config.target) / "report.json").read_text())["clips"] == report.clips


def test_same_configuration_gives_the_same_corpus_bit_by_bit(config, tmp_path):
    make(planned(config), config, EvaluationGuard())
    other = replace(config, target=str(tmp_path / "other"))
    make(planned(other), other, EvaluationGuard())
    assert digests(config) == digests(other)


def test_another_seed_gives_other_texts_and_voices(config):
    first, second = planned(config), planned(replace(config, seed=8))
    assert {clip.id for clip in first}.isdisjoint(clip.id for clip in second)
    assert [clip.text for clip in first] != [clip.text for clip in second]


def test_finished_clips_are_not_made_again(config):
    teacher = FakeTeacher()
    clips = planned(config, teacher)
    make(clips[:5], config, EvaluationGuard())
    before = digests(config)
    assert len(teacher.spoken) == 5

    make(clips, config, EvaluationGuard())
    assert len(teacher.spoken) == len(clips)
    assert before.items() <= digests(config).items()

    make(planned(config, teacher), config, EvaluationGuard())
    assert len(teacher.spoken) == len(clips)


def test_lost_audio_and_half_written_records_are_made_again(config):
    teacher = FakeTeacher()
    clips = planned(config, teacher)[:6]
    make(clips, config, EvaluationGuard())
    complete = digests(config)

    journal = Path(config.target) / "journal.jsonl"
    journal.write_text(journal.read_text()[:-20])
    read_manifest(Path(config.target) / "manifest.jsonl")[0].audio.unlink()
    make(clips, config, EvaluationGuard())
    assert len(teacher.spoken) == 8
    assert digests(config) == complete


def test_a_changed_conditioning_makes_everything_again(config):
    teacher = FakeTeacher()
    clips = planned(config, teacher)[:4]
    make(clips, config, EvaluationGuard())
    quieter = replace(config, condition=ConditionConfig(loudness_lufs=-28.0))
    make(clips, quieter, EvaluationGuard())
    assert len(teacher.spoken) == 8


def test_unusable_clips_are_counted_and_not_tried_again(config):
    teacher = FakeTeacher()
    strict = replace(config, condition=ConditionConfig(max_seconds=3.0))
    clips = planned(strict, teacher)
    report = make(clips, strict, EvaluationGuard())
    dropped = report.dropped["fake"]["too long"]
    assert dropped > 0
    assert report.clips["fake"] + sum(report.dropped["fake"].values()) == len(clips)

    make(clips, strict, EvaluationGuard())
    assert len(teacher.spoken) == len(clips)


def test_clips_that_do_not_fit_their_text_are_left_out(config):
    class Babbler(FakeTeacher):
        def speak(self, text, pace, seed):
            if len(self.spoken) == 30:
                text = "x" * 140 if len(text) < 60 else "x" * 10
            return super().speak(text, pace, seed)

    calm = replace(config, teachers=[TeacherConfig("fake", "bert", voices=1, minutes=4.0)])
    report = make(planned(calm, Babbler()), calm, EvaluationGuard())
    assert report.dropped["fake"] == {"length does not fit the text": 1}


def test_validation_holds_a_share_of_each_voice_and_all_of_the_development_voice(config):
    clips = planned(config)
    for speaker in {clip.speaker for clip in clips}:
        splits = [clip.split for clip in clips if clip.speaker == speaker]
        share = splits.count("validation") / len(splits)
        assert share == 1 if speaker == "fake-bert-00" else 0.1 < share < 0.4


def test_no_text_is_said_twice_and_voices_take_turns(config):
    clips = planned(config)
    assert len({clip.text for clip in clips}) == len(clips)
    assert [clip.speaker for clip in clips[:3]] == [f"fake-anna-{n:02d}" for n in range(3)]


def test_unknown_development_voice_is_refused(config):
    with pytest.raises(InputError, match="fake-carl"):
        planned(replace(config, development_voices=["fake-carl"]))


def test_too_few_examples_are_refused(config):
    planner = Planner(config, EvaluationGuard())
    with pytest.raises(InputError, match="too few examples"):
        planner.english(EXAMPLES[:10], lambda name, base: FakeTeacher())


def test_texts_with_evaluation_sentences_are_left_out(config):
    first = planned(config)[0].text
    clips = planned(config, guard=EvaluationGuard([first.upper()]))
    assert clips
    assert first not in {clip.text for clip in clips}


def test_evaluation_voices_are_refused(config, tmp_path):
    planner = Planner(config, EvaluationGuard())
    recording = Recording(tmp_path / "a.wav", "asterisk-en", "en", "Hello there.")
    source = HumanSource(("some-package",), "CC-BY-SA-3.0", lambda root: iter([recording]))
    with pytest.raises(InputError, match="asterisk-en is an evaluation voice"):
        planner.human("prompts", source, tmp_path)
    package = HumanSource(("asterisk-core-sounds-fr-g722",), "", lambda root: iter([]))
    with pytest.raises(InputError, match="evaluation voice"):
        planner.human("prompts", package, tmp_path)


def test_human_recordings_are_listed_with_their_source(config, tmp_path):
    audio = FakeTeacher().speak("some words for a clip", 1.0, 0)
    for name in ("a", "b"):
        soundfile.write(tmp_path / f"{name}.wav", audio, 16_000)
    recordings = [
        Recording(tmp_path / "a.wav", "tux-ro", "ro", "Un text."),
        Recording(tmp_path / "b.wav", "tux-ro", "ro", "Alt text."),
        Recording(tmp_path / "b.wav", "tux-ro", "ro", "Alt text."),
    ]
    source = HumanSource(("stamps",), "GPL-2.0-or-later", lambda root: iter(recordings))
    clips = Planner(config, EvaluationGuard()).human("tuxpaint", source, tmp_path)
    make(clips, config, EvaluationGuard())
    rows = read_manifest(Path(config.target) / "manifest.jsonl")
    assert [row.text for row in rows] == ["Un text.", "Alt text."]
    assert {(r.speaker, r.source, r.licence) for r in rows} == {
        ("tux-ro", "tuxpaint", "GPL-2.0-or-later")
    }


@pytest.mark.parametrize(
    ("text", "reason"),
    [("Un text.", "unreadable"), ("O monedă de 2 €.", "digits or symbols in the text")],
)
def test_unusable_recordings_cost_a_clip_and_not_the_build(config, tmp_path, text, reason):
    (tmp_path / "a.wav").write_bytes(b"no sound at all")
    recordings = [Recording(tmp_path / "a.wav", "tux-ro", "ro", text)]
    source = HumanSource(("stamps",), "GPL-2.0-or-later", lambda root: iter(recordings))
    clips = Planner(config, EvaluationGuard()).human("tuxpaint", source, tmp_path)
    assert make(clips, config, EvaluationGuard()).dropped == {"tuxpaint": {reason: 1}}


def test_the_shipped_recipe_is_valid_and_refuses_the_demo_voices_sentences():
    root = Path(__file__).resolve().parents[2]
    recipe = OmegaConf.load(root / "configs/corpus/base.yaml")
    base = OmegaConf.to_object(OmegaConf.merge(OmegaConf.structured(CorpusConfig), recipe))
    voices = [voice for entry in base.teachers for voice in pseudo_voices(entry, base.seed)]
    names = {voice.name for voice in voices}
    assert len(names) >= 40
    # A name may come twice, as the same voice with more to say.
    assert len({voice.recipe for voice in voices}) == len(names)
    assert set(base.development_voices) <= names

    guard = EvaluationGuard(read_sentences(base.held_out_texts, root))
    assert all(guard.refuses_text(row.text) for row in read_manifest(root / MYVOICE))


def test_a_replay_set_is_a_few_free_training_clips_of_each_voice(config, tmp_path):
    make(planned(config), config, EvaluationGuard())
    rows = read_manifest(Path(config.target) / "manifest.jsonl")
    wanted = ReplaySetConfig(str(tmp_path / "replay"), clips=3, min_seconds=1.0, max_seconds=9.0)
    written = write_replay(rows, wanted, config.condition)
    assert write_replay(rows, wanted, config.condition) == written

    read = read_manifest(tmp_path / "replay" / "manifest.jsonl")
    voices = [row.speaker for row in read]
    assert {name: voices.count(name) for name in voices} == {f"fake-anna-0{n}": 3 for n in range(3)}
    assert all(row.split == "train" for row in read)
    by_id = {row.id: row for row in rows}
    for row in read:
        original = audio.read(by_id[row.id].audio, 24_000)
        copied = audio.read(row.audio, 24_000)
        assert len(copied) == len(original)
        assert np.corrcoef(copied, original)[0, 1] > 0.95
        assert row.audio.stat().st_size < by_id[row.id].audio.stat().st_size / 2

    with pytest.raises(InputError, match=r"replay\.licences"):
        write_replay(rows, replace(wanted, licences=["none"]), config.condition)


def test_a_replay_set_takes_the_place_of_nothing_but_a_replay_set(config, tmp_path):
    make(planned(config), config, EvaluationGuard())
    rows = read_manifest(Path(config.target) / "manifest.jsonl")
    target = tmp_path / "replay"
    wanted = ReplaySetConfig(str(target), clips=1, min_seconds=1.0, max_seconds=9.0)
    target.mkdir()
    write_replay(rows, wanted, config.condition)
    for name in ("notes.txt", "mine.opus"):
        (target / name).write_text("mine")
        before = sorted(target.iterdir())
        with pytest.raises(InputError, match=rf"{name} is not of the set"):
            write_replay(rows, wanted, config.condition)
        assert sorted(target.iterdir()) == before
        (target / name).unlink()
    (target / "manifest.jsonl").unlink()
    with pytest.raises(InputError, match="something else is there already"):
        write_replay(rows, wanted, config.condition)
    with pytest.raises(InputError, match="something else is there already"):
        write_replay(rows, replace(wanted, target=str(rows[0].audio)), config.condition)
