"""A voice as ONNX graphs: equal to torch, at other sizes than those that were traced."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch

from data.errors import InputError
from data.text.frontend import phonemize
from gpt.sampling import SamplingConfig
from timbre.bundle import LEXICON, load_bundle
from timbre.exporting.onnx import check_kinds, write_lexicon
from timbre.exporting.vocoder_graph import RealStft
from timbre.rundir import RunDir
from timbre.speech import longest_tokens, padded

onnxruntime = pytest.importorskip("onnxruntime")
pytest.importorskip("onnx")
ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="module")
def exported(base_run: RunDir, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """By the command: the shapes that a tracer sees are no numbers that annotations can check."""
    folder = tmp_path_factory.mktemp("onnx")
    command = [sys.executable, "scripts/export.py", f"voice={base_run.voice}", "speaker=ada"]
    subprocess.run([*command, f"output={folder}"], check=True, cwd=ROOT)
    return folder


def run(folder: Path, name: str, **inputs: torch.Tensor) -> list[np.ndarray]:
    session = onnxruntime.InferenceSession(folder / f"{name}.onnx")
    return session.run(None, {key: value.numpy() for key, value in inputs.items()})


@torch.inference_mode()
def test_steps_give_the_latents_of_gpt(exported: Path, base_run: RunDir):
    bundle = load_bundle(base_run.voice)
    gpt, z_spk = bundle.networks.gpt, bundle.embeddings[:1]
    ids, marks, lengths = padded([phonemize("Hello there, you.", "en")], z_spk.device)
    greedy, generator = SamplingConfig(temperature=0.0), torch.Generator().manual_seed(0)
    bounds = longest_tokens(ids[0])[None]
    written = gpt.generate(ids, marks, lengths, z_spk, greedy, generator, bounds)
    table, voice = (
        np.load(exported / "tables.npz"),
        json.loads((exported / "voice.json").read_text("utf-8")),
    )
    np.testing.assert_array_equal(table["longest"][ids[0]], bounds[0])
    context, speaker = run(exported, "prompt", phonemes=ids, marks=marks, z_spk=z_spk)
    step = onnxruntime.InferenceSession(exported / "step.onnx")
    inputs = [speaker]
    place = iter(written.tokens[0].tolist())
    for owner, count in enumerate(written.durations[0].tolist()):
        rows = [voice["codes"], *(next(place) for _ in range(count))]
        inputs += [
            (table["tokens"][row] + table["counts"][i] + context[owner])[None]
            for i, row in enumerate(rows)
        ]
    past, hidden = np.zeros(voice["past"], np.float32), []
    for position, x in enumerate(inputs):
        given = {"x": x, "position": np.array([position]), "past": past}
        _, state, past = step.run(None, given)
        hidden.append(state)
    is_token = [False]
    for count in written.durations[0].tolist():
        is_token += [False] + [True] * count
    latents = np.concatenate(hidden)[is_token]
    np.testing.assert_allclose(latents, written.latents[0], atol=1e-3)


@torch.inference_mode()
def test_decoder_and_vocoder_sound_as_in_torch(exported: Path, base_run: RunDir):
    bundle = load_bundle(base_run.voice)
    networks, audio = bundle.networks, bundle.audio
    latents = torch.randn(1, 31, networks.config.gpt.width)
    size, z_spk = torch.tensor([31]), bundle.embeddings[:1]
    mel = networks.sovits.decoder.sample(latents, size, z_spk, torch.Generator().manual_seed(1))
    noise = torch.randn(124, audio.mel_channels, generator=torch.Generator().manual_seed(1))
    (graph_mel,) = run(exported, "decoder", z_sem=latents, z_spk=z_spk, noise=noise[None])
    np.testing.assert_allclose(graph_mel, mel, atol=1e-3)
    samples = 124 * audio.hop_samples
    sound = networks.vocoder(mel, generator=torch.Generator().manual_seed(1)).clamp(-1, 1)
    hiss = torch.randn(1, samples, generator=torch.Generator().manual_seed(1))
    (graph_sound,) = run(exported, "vocoder", mel=mel, noise=hiss)
    np.testing.assert_allclose(graph_sound, sound, atol=2e-3)


def test_the_real_stft_is_the_complex_one(base_run: RunDir):
    from vocoder.stft import Stft

    audio = torch.randn(1, 256 * 9)
    real, whole = RealStft(1024, 256), Stft(1024, 256)
    spectrum = whole(audio)
    parts = real(audio)
    torch.testing.assert_close(
        torch.complex(*parts), spectrum.transpose(1, 2), atol=1e-3, rtol=1e-4
    )
    torch.testing.assert_close(real.inverse(parts), whole.inverse(spectrum), atol=1e-4, rtol=1e-4)


def test_what_has_no_graph_is_refused(base_run: RunDir, monkeypatch: pytest.MonkeyPatch):
    networks = load_bundle(base_run.voice).networks
    check_kinds(networks)
    object.__setattr__(networks.config.gpt, "layout", "plain")
    with pytest.raises(InputError, match="layout=interleaved"):
        check_kinds(networks)


@pytest.mark.slow
def test_the_example_speaks_without_torch(exported: Path, tmp_path: Path):
    output = tmp_path / "spoken.wav"
    block = "import sys; sys.modules['torch'] = None; import runpy; runpy.run_path(sys.argv.pop(1))"
    example = ROOT / "docs" / "examples" / "speak_onnx.py"
    assert len(example.read_text("utf-8").splitlines()) <= 60
    words = [sys.executable, "-c", block, str(example), str(exported), "Hello there.", str(output)]
    subprocess.run(words, check=True, cwd=ROOT)
    assert soundfile.info(output).frames > 2000
    (exported / LEXICON).write_text("no pronunciation\n", encoding="utf-8")
    refused = subprocess.run(words, check=False, cwd=ROOT, capture_output=True, text=True)
    (exported / LEXICON).unlink()
    assert "lexicon.tsv:1" in refused.stderr, "the lexicon is read"


def test_the_lexicon_goes_with_the_graphs(tmp_path: Path):
    lexicon, written = tmp_path / "names.tsv", tmp_path / "lexicon.tsv"
    lexicon.write_text("Timbre\tʒɔʒɔ\n", encoding="utf-8")
    write_lexicon(written, lexicon)
    assert written.read_bytes() == lexicon.read_bytes()
    write_lexicon(written, None)
    assert not written.exists()
