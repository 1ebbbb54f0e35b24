"""DPO for GPT: the recording's tokens are preferred to readings that skip or repeat a span."""

from __future__ import annotations

from dataclasses import dataclass, field

import torch
from jaxtyping import Int
from torch import Tensor

from data.batch import Batch
from gpt.model import GPT
from losses.negatives import SpanParameters, damage_spans
from losses.preference import dpo_loss, preference_margin
from losses.token_log_probs import TokenLogProbs, token_log_probs
from timbre.networks import Networks
from timbre.selection import rows_of


@dataclass(frozen=True)
class PreferenceConfig:
    """How bad the rejected readings are, and how hard they are rejected."""

    beta: float = 1.0
    """Strength of the pull to the GPT that the run began with, on log-probabilities per token
    (arXiv 2305.18290, eq. 7)."""
    spans: SpanParameters = field(default_factory=SpanParameters)
    """Length of what is skipped or repeated."""

    def __post_init__(self) -> None:
        if self.beta <= 0:
            raise ValueError(f"objective.preference.beta is {self.beta}; give a number above 0")


class PreferenceTerms:
    """`preference`: the DPO loss of a batch, and the reports about it."""

    def __init__(self, config: PreferenceConfig) -> None:
        self.config = config

    def __call__(
        self, networks: Networks, reference: GPT, batch: Batch, generator: torch.Generator
    ) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
        """Terms and reports of one batch; items of a single token are left out.

        Args:
            networks: GPT is trained.
            reference: The GPT that the run began with.
            batch: Needs tokens and durations.
            generator: Says where the rejected readings are damaged; on the CPU.
        """
        assert batch.token_lengths is not None
        batch = rows_of(batch, torch.nonzero(batch.token_lengths > 1).flatten())
        assert batch.tokens is not None
        assert batch.token_lengths is not None
        assert batch.durations is not None
        with torch.no_grad():
            z_spk = networks.sovits(batch.reference, batch.reference_lengths)
        good = (batch.tokens, batch.token_lengths, batch.durations)
        damaged = damage_spans(batch.tokens, batch.token_lengths, generator, self.config.spans)
        durations = durations_of(damaged.sources, damaged.lengths, batch.durations)
        bad = (damaged.tokens, damaged.lengths, durations)
        was_training = networks.gpt.training
        networks.gpt.eval()  # the reference has no dropout either
        own = [_log_probs(networks.gpt, batch, reading, z_spk) for reading in (good, bad)]
        networks.gpt.train(was_training)
        with torch.no_grad():
            before = [_log_probs(reference, batch, reading, z_spk) for reading in (good, bad)]
        margin = preference_margin(own[0], own[1], before[0], before[1])
        reports = {
            "preference_margin": margin.detach().mean(),
            "preference_accuracy": (margin.detach() > 0).float().mean(),
        }
        return {"preference": dpo_loss(margin, self.config.beta)}, reports


def durations_of(
    sources: Int[Tensor, "batch damaged"],
    lengths: Int[Tensor, " batch"],
    durations: Int[Tensor, "batch phonemes"],
) -> Int[Tensor, "batch phonemes"]:
    """Tokens that each phoneme has left in damaged readings.

    Args:
        sources: Position in the recording's tokens from which each token comes.
        lengths: Valid tokens of the damaged readings.
        durations: Tokens of each phoneme in the recording.
    """
    ends = durations.cumsum(dim=1)
    owners = torch.searchsorted(ends, sources.contiguous(), right=True)
    owners = owners.clamp(max=durations.shape[1] - 1)
    valid = torch.arange(sources.shape[1], device=sources.device) < lengths[:, None]
    return torch.zeros_like(durations).scatter_add_(1, owners, valid.long())


def _log_probs(
    gpt: GPT, batch: Batch, reading: tuple[Tensor, Tensor, Tensor], z_spk: Tensor
) -> TokenLogProbs:
    outputs = gpt(batch.phonemes, batch.marks, batch.phoneme_lengths, *reading, z_spk)
    return token_log_probs(outputs.logits, outputs.targets)
