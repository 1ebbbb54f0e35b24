"""Voices as vectors: of a bundle, of recordings, saved in a file, and mixtures of them."""

from __future__ import annotations

import re
from pathlib import Path

import torch
from jaxtyping import Float
from safetensors import SafetensorError
from safetensors.torch import load_file, save
from torch import Tensor

from data.audio import AUDIO_ENDINGS, read
from data.errors import InputError
from data.files import write_whole, writing
from data.mel import LogMel
from timbre.bundle import Bundle, mean_embedding

VECTOR = "z_spk"
_SUFFIX = ".safetensors"
_PART = re.compile(r"(.+):(\d+(?:\.\d+)?)$")


def parse_mixture(words: str) -> list[tuple[str, float]]:
    """Reads `a:0.7+b:0.3` as names and shares that sum to 1; anything else is one name.

    Raises:
        InputError: Some parts have a share and others none, or all shares are 0.
    """
    if "+" not in words:
        return [(words, 1.0)]
    matches = [_PART.match(part.strip()) for part in words.split("+")]
    if not any(matches):
        return [(words, 1.0)]  # a plus sign in a name
    parts = [(match[1], float(match[2])) for match in matches if match is not None]
    total = sum(share for _, share in parts)
    if len(parts) < len(matches) or total == 0:
        raise InputError(
            f"{words!r} is no mixture of voices; write each with its share, such as a:0.7+b:0.3"
        )
    return [(name, share / total) for name, share in parts]


def known_voice(bundle: Bundle, speaker: str | None) -> Float[Tensor, "1 channels"]:
    """One of a bundle's voices, or a mixture of them; None: the only one.

    Raises:
        InputError: There is no such speaker, or there are several to choose from.
    """
    if speaker is None and len(bundle.speakers) == 1:
        return bundle.embeddings
    listed = ", ".join(bundle.speakers) or "none"
    if speaker is None:
        raise InputError(
            f"this voice has {len(bundle.speakers)} speakers: choose one with speaker=NAME "
            f"({listed}), or give a recording with reference=FILE"
        )
    mixture = [(speaker, 1.0)] if speaker in bundle.speakers else parse_mixture(speaker)
    for name, _ in mixture:
        if name not in bundle.speakers:
            raise InputError(f"speaker {name!r} is not in this voice; it has: {listed}")
    shares = torch.zeros(len(bundle.speakers))
    for name, share in mixture:
        shares[bundle.speakers.index(name)] += share
    return (shares[:, None] * bundle.embeddings.float()).sum(0, keepdim=True)


def referred_voice(bundle: Bundle, paths: list[Path]) -> Float[Tensor, "1 channels"]:
    """The mean voice of recordings, folders of recordings, and saved vectors, in fp32.

    Raises:
        InputError: One of them cannot be used; names it.
    """
    files = [file for path in paths for file in recordings_of(path, "reference")]
    vectors = [_vector_of(bundle, file) for file in files]
    return torch.cat(vectors).mean(0, keepdim=True)


def save_vector(path: Path, z_spk: Float[Tensor, "1 channels"]) -> None:
    """Writes a voice's vector to a safetensors file, which `reference=` reads.

    Raises:
        InputError: It cannot be written there.
    """
    content = save({VECTOR: z_spk.float().cpu().contiguous()})
    with writing(f"save_voice={path}", "place"):
        path.parent.mkdir(parents=True, exist_ok=True)
        write_whole(path, content)


def recordings_of(path: Path, setting: str) -> list[Path]:
    """The recordings that a folder holds; a file is its own.

    Raises:
        InputError: The folder holds none; names the setting.
    """
    if not path.is_dir():
        return [path]
    files = sorted(file for file in path.iterdir() if file.suffix.lower() in AUDIO_ENDINGS)
    if not files:
        raise InputError(f"{setting} {path} is a folder without recordings; give audio files")
    return files


def _vector_of(bundle: Bundle, path: Path) -> Tensor:
    if path.suffix == _SUFFIX:
        return _read_vector(path, bundle.networks.config.speaker_encoder.speaker_channels)
    audio = read(path, bundle.audio.sample_rate_hz)
    seconds = len(audio) / bundle.audio.sample_rate_hz
    if seconds < 1:
        raise InputError(
            f"reference {path} lasts {seconds:.2f} s; give at least 1 s of speech, best 5 to 15 s"
        )
    mel = LogMel(bundle.audio)(torch.from_numpy(audio)[None])[0]
    return mean_embedding(bundle.networks, [mel])


def _read_vector(path: Path, channels: int) -> Tensor:
    try:
        vector = load_file(path)[VECTOR].float()
    except (OSError, SafetensorError, KeyError) as error:
        raise InputError(
            f"reference {path} is no saved voice ({error}); make one with save_voice={path}"
        ) from error
    if vector.shape != (1, channels):
        raise InputError(
            f"reference {path} holds a vector of shape {tuple(vector.shape)}, and this voice needs "
            f"(1, {channels}): it was saved by another model"
        )
    return vector
