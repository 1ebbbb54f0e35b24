import re
from pathlib import Path

import numpy as np
import pytest

from data.corpus.config import CorpusConfig, TeacherConfig, TextConfig
from data.corpus.human import asterisk_russian, fillets, tuxpaint
from data.corpus.rates import misfits
from data.corpus.teachers import load_teacher
from data.corpus.texts import clip_texts, read_examples
from data.errors import InputError
from data.manifest import Utterance

NOUNS = [
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
STATEMENTS = [f"the {a} lies behind a {b}" for a in NOUNS for b in NOUNS if a != b]
QUESTIONS = [f"who has seen the {a} today?" for a in NOUNS]
PHRASES = [f"a quiet {a}" for a in NOUNS]
GLOSSES = """  1 This software is "licensed to you" under terms
00004032 29 v 02 sigh 0 001 @ 01 n | heave a sigh; "She sighed sadly"
00004227 29 v 03 exhale 0 000 | expel; "Exhale slowly"; "breathe out"; "She sighed sadly"
"""


def test_examples_are_read_in_order_without_licence_and_duplicates(tmp_path):
    for name in ("noun", "verb", "adj", "adv"):
        (tmp_path / f"data.{name}").write_text(GLOSSES if name == "verb" else "  1 licence\n")
    assert read_examples(tmp_path) == ["She sighed sadly", "Exhale slowly", "breathe out"]


def test_texts_are_sentences_that_use_each_example_once():
    texts = clip_texts(STATEMENTS + QUESTIONS, TextConfig(), [], seed=1)
    said = " ".join(texts).lower()
    assert all(said.count(example) == 1 for example in STATEMENTS)
    assert all(re.fullmatch(r"[A-Z].*[.?!]", text) for text in texts)


def test_lengths_vary_up_to_the_limit():
    config = TextConfig(clip_words_max=24, clip_words_median=10.0)
    words = [len(text.split()) for text in clip_texts(STATEMENTS * 5, config, [], seed=1)]
    assert min(words) <= 7
    assert 15 < max(words) <= 24
    assert np.median(words) == pytest.approx(10, abs=3)


def test_questions_and_phrases_are_spread_evenly():
    config = TextConfig(lively_share=0.2, phrase_share=0.1)
    texts = clip_texts(STATEMENTS + QUESTIONS + PHRASES, config, [], seed=1)
    first = texts[:20]
    assert sum("?" in text for text in first) == 4
    assert sum(len(text.split()) == 3 for text in first) == 2


def test_order_is_fixed_by_the_seed():
    one, same, other = (clip_texts(STATEMENTS, TextConfig(), [], seed) for seed in (1, 1, 2))
    assert one == same != other


@pytest.mark.parametrize(
    "example",
    [
        "he paid 3 dollars for it",
        "the U.N. troops left the city",
        "in World War II they left",
        "workers of the world--unite",
        "the café on the corner is closed",
        "he called him a scoundrels' friend",
    ],
)
def test_ambiguous_and_refused_examples_are_not_used(example):
    assert clip_texts([example], TextConfig(), ["scoundrel"], seed=1) == []


@pytest.mark.parametrize(
    "change", [{"clip_words_median": 99.0}, {"lively_share": 1.2}, {"sentence_words_min": 40}]
)
def test_impossible_text_settings_are_refused(change):
    with pytest.raises(ValueError, match=r"must|shares"):
        TextConfig(**change)


def test_impossible_corpus_settings_are_refused():
    with pytest.raises(ValueError, match="empty"):
        CorpusConfig()
    with pytest.raises(ValueError, match="pitch_low"):
        TeacherConfig("hibari", "heart", 2, 1.0, pitch_low=1.4, pitch_high=1.2)


def test_unknown_teachers_and_voices_are_refused():
    with pytest.raises(InputError, match="known are flite, hibari, kokoro, piper"):
        load_teacher("parrot", "polly")
    with pytest.raises(InputError, match="known are awb"):
        load_teacher("flite", "polly")


def test_a_teacher_that_is_not_installed_names_the_extra():
    def missing(base):
        raise ModuleNotFoundError("No module named 'parrot'", name="parrot")

    with pytest.raises(InputError, match=r"package parrot.*\.\[corpus\]"):
        load_teacher("parrot", "polly", {"parrot": missing})


def utterances(seconds_of):
    texts = [" ".join(["word"] * (1 + n % 12)) for n in range(60)]
    return [
        Utterance(str(n), Path("a.flac"), text, "s", "en", seconds_of(n, len(text)), "train")
        for n, text in enumerate(texts)
    ]


def test_lengths_that_do_not_fit_are_found_and_only_those():
    noise = np.random.default_rng(0).normal(1, 0.08, 60)

    def seconds(number, letters):
        fitting = (0.4 + 0.06 * letters) * noise[number]
        return {10: 3 * fitting, 20: fitting / 3}.get(number, fitting)

    assert misfits(utterances(seconds), deviations=4.0, tolerance=1.3) == {"10", "20"}


def test_a_speaker_with_few_clips_is_not_judged():
    few = utterances(lambda number, letters: 1.0 + 5.0 * (number == 3))[:10]
    assert misfits(few, deviations=4.0, tolerance=1.3) == set()


def test_asterisk_prompts_get_their_texts(tmp_path):
    import gzip

    document = tmp_path / "usr/share/doc/asterisk-core-sounds-ru/core-sounds-ru.txt.gz"
    sounds = tmp_path / "usr/share/asterisk/sounds/ru"
    document.parent.mkdir(parents=True)
    (sounds / "digits").mkdir(parents=True)
    lines = "; comment\nhello: Привет\ndigits/one:один\nbeep: [сигнал]\n"
    document.write_bytes(gzip.compress(lines.encode()))
    for name in ("hello", "digits/one", "beep", "unlisted"):
        (sounds / f"{name}.g722").write_bytes(b"x")
    found = {(r.path.stem, r.speaker, r.text) for r in asterisk_russian(tmp_path)}
    assert found == {("hello", "asterisk-ru", "Привет"), ("one", "asterisk-ru", "один")}


def test_fish_dialogues_get_their_texts_and_roles(tmp_path):
    game = tmp_path / "usr/share/games/fillets-ng"
    (game / "sound/wreck/cs").mkdir(parents=True)
    (game / "script/wreck").mkdir(parents=True)
    for name in ("w-v-lod", "w-x-krab"):
        (game / f"sound/wreck/cs/{name}.ogg").write_bytes(b"x")
    (game / "script/wreck/dialogs_cs.lua").write_text(
        'dialogId("w-v-lod", "font_small", "What ship?")\ndialogStr("Co je to za loď?")\n\n'
        'dialogId("w-x-krab", "font_crab", "Quiet!")\ndialogStr("Ticho!")\n'
    )
    found = [(r.speaker, r.language, r.text) for r in fillets(tmp_path)]
    assert found == [("fillets-cs-small", "cs", "Co je to za loď?")]


def test_stamps_get_their_texts_once_and_in_trusted_languages(tmp_path):
    (tmp_path / "frog.txt").write_text("Frog.\nro.utf8=O broască.\nca.utf8=Una granota.\n")
    (tmp_path / "toad.txt").write_text("Toad.\nro.utf8=O broască.\n")
    for name in ("frog_desc_ro", "frog_desc_ca", "toad_desc_ro"):
        (tmp_path / f"{name}.ogg").write_bytes(b"same sound")
    found = [(r.path.name, r.speaker, r.text) for r in tuxpaint(tmp_path)]
    assert found == [("frog_desc_ro.ogg", "tuxpaint-ro", "O broască.")]
