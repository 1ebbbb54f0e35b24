"""Control and streaming of a tiny voice: chunks equal the whole, candidates, mixtures, vectors."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

import timbre.streaming
from data.errors import InputError
from gpt.sampling import SamplingConfig
from timbre.bundle import BASE, load_bundle
from timbre.rundir import RunDir
from timbre.speech import longest_tokens, paced, speak_all
from timbre.streaming import PieceStream
from timbre.synthesis import SynthesisConfig, synthesize_files
from timbre.synthesizer import Manner, Synthesizer
from timbre.voices import referred_voice, save_vector

TEXT = "Hello there. How are you? Fine."


@pytest.fixture(scope="module")
def ada(base_run: RunDir) -> Synthesizer:
    """Her voice, sure of its pitch: where all are equally likely, rounding errors choose one."""
    voice = Synthesizer(load_bundle(base_run.voice), speaker="ada")
    with torch.no_grad():
        voice.networks.sovits.decoder.trunk.pitch[-1].bias[[0, 2]] += 5
        voice.networks.vocoder.pitch.voicing.bias += 5
        voice.networks.vocoder.pitch.classes.bias[60] += 10
    return voice


def assert_sounds_alike(audio: np.ndarray, expected: np.ndarray) -> None:
    """Equal but for rounding, which the phases of an untrained vocoder magnify here and there."""
    difference = audio - expected
    assert np.sqrt(np.mean(difference**2)) < 2e-5
    assert np.abs(difference).max() < 1e-3


@pytest.mark.slow
def test_the_bundled_base_streams_what_it_speaks() -> None:
    base = load_bundle(BASE)
    voice = Synthesizer(base, speaker=base.speakers[0])
    manner, text = (
        Manner(level=False),
        "Hello there. My brother fixes clocks; my sister breaks them.",
    )
    spoken = np.concatenate([s.audio for s in voice.sentences(text, manner)])
    np.testing.assert_allclose(np.concatenate(list(voice.stream(text, manner))), spoken, atol=2e-4)


@pytest.mark.parametrize("speed", [1.0, 0.7, 1.6])
def test_chunks_of_a_stream_are_the_whole(ada: Synthesizer, speed: float, monkeypatch):
    # The tiny flow reaches less far than this.
    monkeypatch.setattr(timbre.streaming, "LOOK_AHEAD_TOKENS", 48)
    phonemes = ada._frontend("en")("One two three, four.")
    seeds = [torch.Generator().manual_seed(3) for _ in range(2)]
    whole = speak_all(ada.networks, [phonemes], ada.z_spk, SamplingConfig(), seeds[:1], speed)[0]
    stream = PieceStream(ada.networks, phonemes, ada.z_spk, SamplingConfig(), seeds[1], speed)
    chunks = list(stream.chunks())
    assert len(chunks) > 1
    assert_sounds_alike(np.concatenate(chunks), whole.audio.numpy())
    assert torch.equal(stream.written().durations[0], whole.durations)


def test_a_text_is_streamed_as_it_is_spoken(ada: Synthesizer):
    manner = Manner(level=False)
    spoken = np.concatenate([s.audio for s in ada.sentences(TEXT, manner)])
    streamed = np.concatenate(list(ada.stream(TEXT, manner)))
    assert len(streamed) == len(spoken)
    with pytest.raises(InputError, match="leave candidates at 1"):
        next(ada.stream(TEXT, replace(manner, candidates=2)))


def test_a_sentence_sounds_the_same_in_any_batch(ada: Synthesizer, monkeypatch):
    together = [s.audio for s in ada.sentences(TEXT, Manner())]
    monkeypatch.setattr("timbre.synthesizer._BATCH", 1)
    for alone, beside in zip(ada.sentences(TEXT, Manner()), together, strict=True):
        assert_sounds_alike(alone.audio, beside)


def test_the_pace_of_latents():
    latents = torch.arange(10.0)[None, :, None]
    assert torch.equal(paced(latents, 1.0), latents)
    assert paced(latents, 2.0).flatten().tolist() == [0.5, 2.5, 4.5, 6.5, 8.5]
    slow = paced(latents, 0.5).flatten()
    assert len(slow) == 20
    assert torch.equal(slow[2:18], torch.arange(0.75, 8.5, 0.5))


def test_the_clearest_candidate_is_taken(ada: Synthesizer, monkeypatch):
    errors = iter([0.5, 0.1, 0.3, 0.0, 0.2, 0.9])
    heard: list[torch.Tensor] = []

    def judge(networks, mel, text):
        heard.append(mel)
        return next(errors)

    monkeypatch.setattr("timbre.speech.phoneme_error", judge)
    texts = [ada._frontend("en")(text) for text in ("Hello there.", "How are you?")]
    z_spk = ada.z_spk.expand(2, -1)
    generators = [torch.Generator().manual_seed(seed) for seed in (1, 2)]
    speeches = speak_all(ada.networks, texts, z_spk, SamplingConfig(), generators, candidates=3)
    assert [speech.phoneme_error for speech in speeches] == [0.1, 0.0]
    assert torch.equal(speeches[0].mel, heard[1][0])
    assert torch.equal(speeches[1].mel, heard[3][0])


def test_no_judge_no_candidates(ada: Synthesizer, monkeypatch):
    monkeypatch.setattr(type(ada.networks), "can_tokenize", property(lambda self: False))
    with pytest.raises(InputError, match=r"tokenizer\.safetensors"):
        list(ada.sentences("Hello.", Manner(candidates=2)))


def test_phonemes_are_bounded(ada: Synthesizer):
    bounds = longest_tokens(torch.from_numpy(ada._frontend("en")("Oh, sure.").ids))
    assert bounds.tolist() == [22, 14, 22, 12, 14, 12, 22]
    for spoken in ada.sentences(TEXT, Manner(sampling=SamplingConfig(temperature=1.5))):
        assert spoken.timing is not None
        assert all(span.end - span.start <= 22 / 23.4 for span in spoken.timing.phonemes)


def test_the_reference_is_a_voice_and_never_heard(base_run: RunDir, workshop: Path, tmp_path: Path):
    """All that reaches the output is the reference's vector: another sound with that, the same."""
    bundle = load_bundle(base_run.voice)
    recordings = [workshop / "two" / f"bob-{number}.wav" for number in (0, 1)]
    both = Synthesizer(bundle, recordings)
    each = [referred_voice(bundle, [path]) for path in recordings]
    torch.testing.assert_close(both.z_spk, (each[0] + each[1]) / 2)
    assert both.z_spk.dtype == torch.float32
    save_vector(tmp_path / "bob.safetensors", both.z_spk)
    kept = Synthesizer(bundle, tmp_path / "bob.safetensors")
    np.testing.assert_array_equal(both.speak(TEXT), kept.speak(TEXT))


def test_voices_are_mixed_saved_and_timed(base_run: RunDir, tmp_path: Path):
    saved = tmp_path / "mixed.safetensors"
    common = {"voice": str(base_run.voice), "text": TEXT}
    mixed, again = tmp_path / "mixed.wav", tmp_path / "again.wav"
    synthesize_files(
        SynthesisConfig(
            **common,
            output=str(mixed),
            speaker="ada:0.7+bob:0.3",
            save_voice=str(saved),
            timestamps="json",
        )
    )
    synthesize_files(SynthesisConfig(**common, output=str(again), reference=str(saved)))
    assert mixed.read_bytes() == again.read_bytes()
    timings = json.loads(mixed.with_suffix(".json").read_text("utf-8"))
    starts = [timing["sentence"]["start"] for timing in timings]
    assert len(starts) == 3
    assert starts == sorted(starts)


def test_standard_output_is_a_stream(base_run: RunDir, capfdbinary):
    synthesize_files(
        SynthesisConfig(voice=str(base_run.voice), output="-", text="Hello there.", speaker="ada")
    )
    samples = np.frombuffer(capfdbinary.readouterr().out, dtype="<i2")
    assert len(samples) > 2400
    assert samples.any()
    with pytest.raises(ValueError, match="streams one text"):
        SynthesisConfig(voice="x", output="-", text="a", candidates=2)
