"""Forced alignment: which phoneme is spoken in which CTC frame, hence in which token."""

from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from data.masks import length_mask
from data.text.symbols import BLANK_ID
from gpt.tokenizer import CTC_FRAMES_PER_TOKEN

MIN_PRIOR = 1e-4


@dataclass
class Alignment:
    """The best left-to-right path of every item of a batch."""

    states: Int[Tensor, "batch ctc_frames"]
    """Index of the phoneme in each frame; past an item's end its last phoneme; -1 if unaligned."""
    aligned: Bool[Tensor, " batch"]
    """False where an item has fewer frames than phonemes, so that no path exists."""
    score: Float[Tensor, " batch"]
    """Mean over frames of log-posterior - prior_scale * log-prior, nats; low scores point to wrong
    transcripts; -inf if unaligned."""


def expected_frames(
    log_probs: Float[Tensor, "batch ctc_frames symbols"], ctc_lengths: Int[Tensor, " batch"]
) -> Float[Tensor, " symbols"]:
    """Expected number of frames of each symbol, blank excluded; add them up over a corpus."""
    posteriors = _without_blank(log_probs).exp()
    return (posteriors * length_mask(ctc_lengths, posteriors.shape[1])[..., None]).sum((0, 1))


def log_prior(frames: Float[Tensor, " symbols"]) -> Float[Tensor, " symbols"]:
    """Log-prior of each symbol from `expected_frames` of a corpus, floored at log 1e-4.

    The floor keeps symbols that the corpus hardly holds from winning every frame.
    """
    return (frames / frames.sum()).clamp_min(MIN_PRIOR).log()


def forced_align(
    log_probs: Float[Tensor, "batch ctc_frames symbols"],
    ctc_lengths: Int[Tensor, " batch"],
    phonemes: Int[Tensor, "batch phonemes"],
    phoneme_lengths: Int[Tensor, " batch"],
    log_prior: Float[Tensor, " symbols"],
    prior_scale: float = 0.7,
) -> Alignment:
    """Viterbi path through the phonemes, in order, none skipped, at least one frame each.

    CTC posteriors are peaks between blanks: they tell the order but not the borders. Without the
    blank, and divided by the symbol's prior to the power `prior_scale`, they act as frame
    likelihoods of a hybrid HMM (Bourlard and Morgan 1994).

    Args:
        log_probs: log-posteriors (or logits) of the CTC head before quantization.
        ctc_lengths: valid CTC frames.
        phonemes: symbols as spoken, pauses included.
        phoneme_lengths: valid phonemes.
        log_prior: from the function `log_prior`.
        prior_scale: how much of the prior is taken away.
    """
    scaled = _without_blank(log_probs) - prior_scale * log_prior.to(log_probs.device)
    index = phonemes[:, None].expand(-1, log_probs.shape[1], -1)
    emissions = scaled.gather(2, index).cpu().numpy()
    frame_counts, phoneme_counts = ctc_lengths.cpu().numpy(), phoneme_lengths.cpu().numpy()
    states, scores = _viterbi(emissions, frame_counts, phoneme_counts)
    aligned = frame_counts >= phoneme_counts
    states[~aligned] = -1
    scores = np.where(aligned, scores / np.maximum(frame_counts, 1), -np.inf)
    device = log_probs.device
    return Alignment(
        states=torch.from_numpy(states).to(device),
        aligned=torch.from_numpy(aligned).to(device),
        score=torch.from_numpy(scores.astype(np.float32)).to(device),
    )


def token_durations(
    alignment: Alignment,
    ctc_lengths: Int[Tensor, " batch"],
    phonemes: Int[Tensor, "batch phonemes"],
) -> Int[Tensor, "batch phonemes"]:
    """Tokens of each phoneme; a token belongs to the phoneme of its first CTC frame.

    A phoneme shorter than a token may get none. Rows sum to the number of tokens,
    ceil(ctc_length / 2); rows of unaligned items are 0.
    """
    owners = alignment.states[:, ::CTC_FRAMES_PER_TOKEN]
    lengths = (ctc_lengths + CTC_FRAMES_PER_TOKEN - 1) // CTC_FRAMES_PER_TOKEN
    counted = length_mask(lengths, owners.shape[1]) & alignment.aligned[:, None]
    return torch.zeros_like(phonemes).scatter_add(1, owners.clamp_min(0), counted.to(phonemes))


def _without_blank(
    log_probs: Float[Tensor, "batch ctc_frames symbols"],
) -> Float[Tensor, "batch ctc_frames symbols"]:
    log_probs = log_probs.float().clone()
    log_probs[..., BLANK_ID] = -torch.inf
    return log_probs.log_softmax(-1)


def _viterbi(
    emissions: np.ndarray, frame_counts: np.ndarray, phoneme_counts: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Best states [batch, frames] and their total scores [batch]; only time is looped over."""
    batch, frames, phonemes = emissions.shape
    rows = np.arange(batch)
    best = np.full((batch, phonemes), -np.inf, dtype=np.float64)
    best[:, 0] = emissions[:, 0, 0]
    scores = np.full(batch, -np.inf)
    advanced = np.zeros((frames, batch, phonemes), dtype=bool)
    for frame in range(frames):
        if frame > 0:
            previous = np.pad(best[:, :-1], ((0, 0), (1, 0)), constant_values=-np.inf)
            advanced[frame] = previous > best
            best = np.maximum(previous, best) + emissions[:, frame]
        ending = frame_counts == frame + 1
        scores[ending] = best[rows, phoneme_counts - 1][ending]
    states = np.empty((batch, frames), dtype=np.int64)
    state = phoneme_counts.astype(np.int64) - 1
    for frame in reversed(range(frames)):
        states[:, frame] = state
        state = state - (advanced[frame, rows, state] & (frame < frame_counts))
    return states, scores
