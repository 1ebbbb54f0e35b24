"""Speak with an exported voice: onnxruntime and numpy, no torch.

python docs/examples/speak_onnx.py VOICE_FOLDER "What to say." out.wav
"""

import json
import sys
from pathlib import Path

import numpy as np
import onnxruntime
import soundfile

from data.text.frontend import TextFrontend

folder, text, output = Path(sys.argv[1]), sys.argv[2], sys.argv[3]
voice = json.loads((folder / "voice.json").read_text("utf-8"))
table = np.load(folder / "tables.npz")
graph = {n: onnxruntime.InferenceSession(folder / f"{n}.onnx") for n in
         ("prompt", "step", "decoder", "vocoder")}  # fmt: skip
dice = np.random.default_rng(1)


def draw(scores, temperature):
    """Probabilities of scores at a temperature, and an index drawn from them."""
    exponents = np.exp((scores - scores.max()) / temperature)
    shares = exponents / exponents.sum()
    return shares, int(dice.choice(len(shares), p=shares / shares.sum()))


phonemes = TextFrontend(voice["language"], next(folder.glob("lexicon.tsv"), None))(text)
context, speaker = graph["prompt"].run(
    None, {"phonemes": phonemes.ids[None], "marks": phonemes.marks[None], "z_spk": table["z_spk"]}
)
past, latents = np.zeros(voice["past"], np.float32), []
position, bound = 0, table["longest"][phonemes.ids]
_, _, past = graph["step"].run(None, {"x": speaker, "position": np.array([0]), "past": past})
for owner in range(len(phonemes.ids)):  # GPT is led from phoneme to phoneme
    token, count = voice["codes"], 0
    while token is not None:
        position += 1
        x = (table["tokens"][token] + table["counts"][count] + context[owner])[None]
        given = {"x": x, "position": np.array([position]), "past": past}
        scores, hidden, past = graph["step"].run(None, given)
        latents += [hidden[0]] if count else []
        may_end = latents or owner + 1 < len(phonemes.ids)
        ends = may_end and dice.random() < draw(scores, 1.0)[0][-1]
        likeliest = np.argsort(scores[:-1])[-25:]
        token = int(likeliest[draw(scores[likeliest], 0.6)[1]])
        token = None if ends or count >= bound[owner] else token
        count += 1

frames = len(latents) * voice["frames_per_token"]
sound = {"noise": dice.standard_normal((1, frames * voice["hop_samples"])).astype(np.float32)}
noise = dice.standard_normal((1, frames, voice["mel_channels"])).astype(np.float32)
given = {"z_sem": np.stack(latents)[None], "z_spk": table["z_spk"], "noise": noise}
(sound["mel"],) = graph["decoder"].run(None, given)
wanted = {i.name for i in graph["vocoder"].get_inputs()}
(audio,) = graph["vocoder"].run(None, {k: v for k, v in sound.items() if k in wanted})
soundfile.write(output, audio[0], voice["sample_rate_hz"])
