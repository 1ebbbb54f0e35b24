"""Semantic tokens of recordings: what the tokenizer of a set of networks makes of them."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable

import numpy as np
import torch

from data.batch import Batch
from data.mel import AudioConfig
from data.token_store import Spoken, Tokenized
from gpt.alignment import expected_frames, forced_align, log_prior, token_durations
from timbre.networks import Networks


class Tokenizing:
    """Tokenizes and aligns utterances; handed to the data module, which stores the result.

    Args:
        networks: A trained tokenizer and its alignment prior.
        audio: Geometry of the mel.
        device: Where to compute.
    """

    def __init__(self, networks: Networks, audio: AudioConfig, device: torch.device) -> None:
        self.networks = networks
        self.audio = audio
        self.device = device

    @property
    def fingerprint(self) -> str:
        """Changes whenever the tokens or the alignment may change."""
        digest = hashlib.sha256()
        tensors = {**self.networks.tokenizer.state_dict(), "prior": self.networks.alignment_prior}
        for name, tensor in sorted(tensors.items()):
            digest.update(name.encode())
            digest.update(tensor.detach().cpu().contiguous().numpy().tobytes())
        return digest.hexdigest()

    @torch.inference_mode()
    def __call__(self, spoken: list[Spoken]) -> list[Tokenized | None]:
        """Tokens and durations of each utterance; None where its phonemes do not fit its sound."""
        tokenizer = self.networks.tokenizer.to(self.device).eval()
        frames = max(mel.shape[1] for mel, _ in spoken)
        longest = max(len(phonemes) for _, phonemes in spoken)
        mels = torch.full(
            (len(spoken), self.audio.mel_channels, frames), float(np.log(self.audio.floor))
        )
        phonemes = torch.zeros(len(spoken), longest, dtype=torch.long)
        for row, (mel, ids) in enumerate(spoken):
            mels[row, :, : mel.shape[1]] = torch.from_numpy(mel)
            phonemes[row, : len(ids)] = torch.from_numpy(ids)
        mel_lengths = torch.tensor([mel.shape[1] for mel, _ in spoken], device=self.device)
        phoneme_lengths = torch.tensor([len(ids) for _, ids in spoken], device=self.device)
        phonemes = phonemes.to(self.device)
        tokens, token_lengths, logits, ctc_lengths = tokenizer.encode(
            mels.to(self.device), mel_lengths
        )
        alignment = forced_align(
            logits.float().log_softmax(-1),
            ctc_lengths,
            phonemes,
            phoneme_lengths,
            self.networks.alignment_prior.to(self.device),
        )
        durations = token_durations(alignment, ctc_lengths, phonemes)
        return [
            (
                tokens[row, : int(token_lengths[row])].cpu().numpy(),
                durations[row, : len(ids)].cpu().numpy(),
            )
            if bool(alignment.aligned[row])
            else None
            for row, (_, ids) in enumerate(spoken)
        ]


@torch.inference_mode()
def measure_prior(networks: Networks, batches: Iterable[Batch]) -> None:
    """Sets the networks' alignment prior from what the tokenizer hears in these batches."""
    device = networks.alignment_prior.device
    tokenizer = networks.tokenizer.eval()
    frames = torch.zeros_like(networks.alignment_prior)
    for batch in batches:
        batch = batch.to(device)
        _, _, logits, lengths = tokenizer.encode(batch.mel, batch.mel_lengths)
        frames += expected_frames(logits.float().log_softmax(-1), lengths)
    networks.alignment_prior.copy_(log_prior(frames))
