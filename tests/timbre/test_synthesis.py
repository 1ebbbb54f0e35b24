"""Speaking: the same for a seed, as fast as asked, as 16-bit files; faults are told."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import soundfile

from data.errors import InputError
from timbre.bundle import load_bundle
from timbre.rundir import RunDir
from timbre.synthesis import COMMENT, SynthesisConfig, synthesize_files
from timbre.synthesizer import Synthesizer

TEXT = "Hello there. How are you?"


@pytest.fixture(scope="module")
def ada(base_run: RunDir) -> Synthesizer:
    return Synthesizer(load_bundle(base_run.voice), speaker="ada")


@pytest.fixture
def speak(base_run: RunDir, tmp_path: Path):
    """`speak(**settings)`: as scripts/synthesize.py does; returns the output path."""

    def run(**settings) -> Path:
        settings = {
            **{"voice": str(base_run.voice), "speaker": "ada", "watermark": False},
            **settings,
        }
        settings.setdefault("output", str(tmp_path / "out.wav"))
        synthesize_files(SynthesisConfig(**settings))
        return Path(settings["output"])

    return run


def test_equal_seeds_give_equal_speech_and_others_do_not(ada: Synthesizer) -> None:
    first, again, other = (ada.speak(TEXT, seed=seed) for seed in (1, 1, 2))
    np.testing.assert_array_equal(first, again)
    assert len(first) != len(other) or not np.array_equal(first, other)
    assert np.abs(first).max() <= 1.0
    assert len(first) > 0.2 * ada.sample_rate_hz


def test_voices_differ(ada: Synthesizer, base_run: RunDir) -> None:
    bob = Synthesizer(load_bundle(base_run.voice), speaker="bob")
    assert not np.array_equal(ada.z_spk.numpy(), bob.z_spk.numpy())


@pytest.mark.parametrize("speed", [0.5, 2.0])
def test_speed_changes_the_duration(speed: float, ada: Synthesizer) -> None:
    normal, changed = (len(ada.speak("Hello there.", speed=s)) for s in (1.0, speed))
    token_samples = 4 * ada.bundle.audio.hop_samples
    assert changed == pytest.approx(normal / speed, abs=token_samples)


def test_the_plain_layout_speaks_too(configured) -> None:
    from timbre.bundle import Bundle
    from timbre.networks import Networks

    config = configured("model.gpt.layout=plain")
    networks = Networks(config.model, config.audio).eval()
    z_spk = networks.alignment_prior.new_zeros(1, 256)
    bundle = Bundle(networks, config.audio, ["x"], z_spk, "x", "en")
    assert len(Synthesizer(bundle).speak("Hello there.", seed=1)) >= 0


def test_files_are_24_khz_16_bit_pcm(speak) -> None:
    info = soundfile.info(speak(text=TEXT))
    assert (info.samplerate, info.subtype, info.format, info.channels) == (
        24000,
        "PCM_16",
        "WAV",
        1,
    )
    assert info.frames > 4800


def test_speech_is_marked_unless_that_is_refused(speak, tmp_path: Path) -> None:
    plain = speak(text=TEXT)
    marked = speak(text=TEXT, watermark=True, output=str(tmp_path / "marked.wav"))
    for path in (plain, marked):
        with soundfile.SoundFile(path) as file:
            assert file.software.startswith("Timbre")
            assert file.comment == COMMENT
    plain_audio, marked_audio = soundfile.read(plain)[0], soundfile.read(marked)[0]
    assert len(plain_audio) == len(marked_audio)
    assert np.abs(plain_audio - marked_audio).max() > 1e-3


def test_each_line_becomes_a_file(speak, tmp_path: Path) -> None:
    (tmp_path / "lines.txt").write_text("Hello there.\nOne two three.\n", encoding="utf-8")
    folder = speak(lines=str(tmp_path / "lines.txt"), output=str(tmp_path / "spoken"))
    assert sorted(path.name for path in folder.iterdir()) == ["000.wav", "001.wav"]
    alone = speak(text="One two three.")
    assert (folder / "001.wav").read_bytes() == alone.read_bytes()


def test_a_text_file_is_spoken_like_its_text(speak, tmp_path: Path) -> None:
    (tmp_path / "text.txt").write_text(TEXT, encoding="utf-8")
    from_file = speak(text_file=str(tmp_path / "text.txt")).read_bytes()
    assert from_file == speak(text=TEXT, output=str(tmp_path / "b.wav")).read_bytes()


def test_a_reference_gives_its_voice(speak, base_run: RunDir, workshop: Path, tmp_path) -> None:
    reference = str(workshop / "two" / "bob-0.wav")
    spoken = speak(text="Hello there.", speaker=None, reference=reference)
    known = speak(text="Hello there.", output=str(tmp_path / "known.wav"))
    assert spoken.read_bytes() != known.read_bytes()


def test_faults_are_told(speak, tmp_path: Path) -> None:
    short, broken = tmp_path / "short.wav", tmp_path / "broken.wav"
    empty = tmp_path / "empty"
    empty.mkdir()
    soundfile.write(short, np.zeros(12000), 24000)
    broken.write_bytes(b"this is no sound")
    (tmp_path / "gap.txt").write_text("Hello.\n\nBye.\n")
    (tmp_path / "none.txt").write_text("")
    for settings, advice in (
        ({"text": "  "}, "text is empty"),
        ({"text": "..."}, "."),
        ({"lines": str(tmp_path / "gap.txt")}, r"gap\.txt:2 is empty"),
        ({"lines": str(tmp_path / "none.txt")}, "is empty: there is nothing to say"),
        ({"text_file": str(tmp_path / "absent.txt")}, r"absent\.txt cannot be read"),
        ({"text": TEXT, "voice": "nobody"}, "voice 'nobody': no bundle"),
        ({"text": TEXT, "speaker": "eve"}, "speaker 'eve' is not in this voice; it has: ada, bob"),
        ({"text": TEXT, "speaker": None}, "2 speakers: choose one with speaker=NAME"),
        ({"text": TEXT, "speaker": None, "reference": str(broken)}, r"broken\.wav"),
        (
            {"text": TEXT, "speaker": None, "reference": str(tmp_path / "absent.wav")},
            r"absent\.wav",
        ),
        (
            {"text": TEXT, "speaker": None, "reference": str(short)},
            r"lasts 0\.50 s; give at least 1 s",
        ),
        ({"text": TEXT, "language": "xx"}, "xx"),
        ({"text": "Say /Q9#/ now."}, "write IPA between the slashes"),
        ({"text": "Wait. [pause 90s] Go."}, "longer than 60 s"),
        ({"text": TEXT, "speaker": "ada:1+eve:1"}, "speaker 'eve' is not in this voice"),
        ({"text": TEXT, "speaker": None, "reference": str(empty)}, "folder without recordings"),
    ):
        with pytest.raises(InputError, match=advice):
            speak(**settings)
    assert not (tmp_path / "out.wav").exists()


def test_places_that_cannot_be_written_are_told(speak, tmp_path: Path) -> None:
    """Before anything is loaded, but the vector of the voice, which is there first."""
    (tmp_path / "file").touch()
    (tmp_path / "folder.wav").mkdir()
    inside = str(tmp_path / "file" / "x")
    with pytest.raises(InputError, match=r"output=.*file/x\.wav: the folder cannot be made"):
        speak(text=TEXT, voice="nobody", output=f"{inside}.wav")
    with pytest.raises(InputError, match=r"folder\.wav is a folder; name a WAV file"):
        speak(text=TEXT, voice="nobody", output=str(tmp_path / "folder.wav"))
    with pytest.raises(InputError, match=r"save_voice=.*x\.safetensors: cannot be written"):
        speak(text=TEXT, save_voice=f"{inside}.safetensors")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["file", "folder.wav"]
