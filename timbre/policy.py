"""REINFORCE for GPT: what it says by itself is judged, and what was rewarded becomes likelier."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn import functional

from data.batch import Batch
from data.masks import length_mask
from data.mel import FRAMES_PER_TOKEN
from gpt.decoding import Generated
from gpt.judge import phoneme_errors
from gpt.model import GPT
from gpt.sampling import SamplingConfig
from losses.divergence import categorical_kl
from losses.policy_gradient import leave_one_out, reinforce_loss
from losses.token_log_probs import token_log_probs
from timbre.networks import Networks
from timbre.selection import rows_of


@dataclass(frozen=True)
class PolicyConfig:
    """What is generated in an update, and what it is rewarded for."""

    prompts: int = 4
    """Texts of the batch that are spoken."""
    samples: int = 4
    """Times that each is spoken; each is compared with the others (arXiv 2402.14740), so at least
    2."""
    temperature: float = 1.0
    """Of the sampling. At 1 the gradient is exact; below, what is rarely said is never tried."""
    error_weight: float = 1.0
    """Of minus the phoneme error, as the tokenizer's CTC head hears it. Alone it flattens the
    prosody."""
    similarity_weight: float = 1.0
    """Of the cosine between z_spk of the speech and of the reference."""
    rate_weight: float = 0.5
    """Of minus |log(tokens / tokens of the recording)|: neither rushed nor drawn out."""
    reference_weight: float = 0.1
    """Of the KL from the GPT that the run began with, nats per token: the rest stays as it was."""

    def __post_init__(self) -> None:
        if self.prompts < 1 or self.samples < 2 or self.temperature <= 0:
            raise ValueError(
                "objective.policy needs prompts >= 1, samples >= 2 and a temperature above 0, got "
                f"{self.prompts}, {self.samples}, {self.temperature}"
            )
        weights = (self.error_weight, self.similarity_weight, self.rate_weight)
        if min(*weights, self.reference_weight) < 0 or not any(weights):
            raise ValueError(
                "objective.policy: weights must be 0 or more, and one of error_weight, "
                "similarity_weight and rate_weight above 0"
            )


@dataclass(frozen=True)
class Judged:
    """What the judges say of generated readings."""

    errors: Float[Tensor, " readings"]
    """Phoneme error rate, at most 1."""
    similarities: Float[Tensor, " readings"]
    """Cosine of z_spk with the reference's."""
    rates: Float[Tensor, " readings"]
    """log(tokens / tokens of the recording)."""

    def reward(self, config: PolicyConfig) -> Float[Tensor, " readings"]:
        """One number each; higher is better."""
        return (
            config.similarity_weight * self.similarities
            - config.error_weight * self.errors
            - config.rate_weight * self.rates.abs()
        )


class PolicyTerms:
    """`policy`: the REINFORCE loss of one update's readings, and the reports about them.

    Speech is generated, decoded to a mel and judged without gradient; only GPT learns.
    """

    def __init__(self, config: PolicyConfig) -> None:
        self.config = config

    def __call__(
        self,
        networks: Networks,
        reference: GPT,
        batch: Batch,
        generator: torch.Generator,
        share: float = 1.0,
    ) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
        """Terms and reports of one batch.

        Args:
            networks: GPT is trained; speaker encoder and tokenizer judge.
            reference: The GPT that the run began with.
            batch: Needs phonemes, references and the recordings' token lengths.
            generator: Source of the sampling, on the device of the batch.
            share: What part of an update's batch this is, for its part of the prompts.
        """
        count = min(max(1, round(share * self.config.prompts)), len(batch))
        prompts = torch.arange(count, device=batch.mel.device)
        batch = rows_of(batch, prompts.repeat_interleave(self.config.samples))
        was_training = networks.gpt.training
        networks.gpt.eval()
        with torch.no_grad():
            z_spk = networks.sovits(batch.reference, batch.reference_lengths)
            spoken = self._speak(networks, batch, z_spk, generator)
            judged = judge(networks, batch, spoken, z_spk, generator)
        reward = judged.reward(self.config)
        advantages = leave_one_out(reward.view(-1, self.config.samples)).flatten()
        text = (batch.phonemes, batch.marks, batch.phoneme_lengths)
        said = (spoken.tokens, spoken.token_lengths, spoken.durations, z_spk)
        # Without dropout, as it was sampled: the probabilities must be those of the choices.
        outputs = networks.gpt(*text, *said)
        networks.gpt.train(was_training)
        with torch.no_grad():
            before = reference(*text, *said)
        kl = categorical_kl(outputs.logits, before.logits, outputs.targets >= 0)
        loss = reinforce_loss(token_log_probs(outputs.logits, outputs.targets), advantages)
        reports = {
            "reward": reward.mean(),
            "policy_error": judged.errors.mean(),
            "policy_similarity": judged.similarities.mean(),
            "policy_rate": judged.rates.mean(),
            "policy_kl": kl.detach(),
        }
        return {"policy": loss + self.config.reference_weight * kl}, reports

    def _speak(
        self, networks: Networks, batch: Batch, z_spk: Tensor, generator: torch.Generator
    ) -> Generated:
        # All tokens may be drawn, or the gradient would not be that of what was sampled.
        sampling = SamplingConfig(
            temperature=self.config.temperature, top_k=0, top_p=1.0, repetition_window=0
        )
        text = (batch.phonemes, batch.marks, batch.phoneme_lengths)
        return networks.gpt.generate(*text, z_spk, sampling, generator)


def judge(
    networks: Networks,
    batch: Batch,
    spoken: Generated,
    z_spk: Tensor,
    generator: torch.Generator,
) -> Judged:
    """Listens to generated readings on the mel: what they say, whose voice it is, how fast."""
    assert batch.token_lengths is not None
    mel = networks.sovits.decoder.sample(spoken.latents, spoken.token_lengths, z_spk, generator)
    lengths = FRAMES_PER_TOKEN * spoken.token_lengths
    _, _, logits, ctc_lengths = networks.tokenizer.encode(mel, lengths)
    mask = length_mask(batch.phoneme_lengths, batch.phonemes.shape[1])
    expected = [ids[valid].tolist() for ids, valid in zip(batch.phonemes, mask, strict=True)]
    errors = phoneme_errors(logits, ctc_lengths, expected)
    voice = networks.sovits(mel, lengths)
    return Judged(
        errors=torch.tensor(errors, device=mel.device).clamp(max=1.0),
        similarities=functional.cosine_similarity(voice.float(), z_spk.float(), dim=1),
        rates=(spoken.token_lengths / batch.token_lengths.clamp(min=1)).float().log(),
    )
