"""The multi-term objective: which terms exist, what each one trains, and how they add up."""

from __future__ import annotations

from dataclasses import dataclass, field

import torch
from jaxtyping import Float
from torch import Tensor

from losses.regression import RegressionParameters
from losses.schedules import Annealing

MODULES = ("tokenizer", "gpt", "sovits", "vocoder")
"""Names that `train.modules` may hold; each has its own learning rate."""

TERMS: dict[str, tuple[str, ...]] = {
    "ctc": ("tokenizer",),
    "tokenizer_rec": ("tokenizer",),
    "semantic": ("gpt", "sovits"),
    "rec": ("gpt", "sovits"),
    "flow": ("gpt", "sovits"),
    "adv": ("gpt", "sovits"),
    "feature_matching": ("gpt", "sovits"),
    "kl": ("sovits",),
    "speaker": ("sovits",),
    "wave_mel": ("vocoder",),
    "wave_stft": ("vocoder",),
    "wave_adv": ("vocoder",),
    "wave_feature_matching": ("vocoder",),
    "f0": ("vocoder",),
}
"""Generator terms and the modules that their gradients reach (tests/timbre/test_gradients.py).

`semantic` reaches only the speaker encoder in `sovits`: GPT hears the voice through z_spk.
"""

DISCRIMINATOR_TERMS = ("disc", "r1", "wave_disc", "wave_r1")


@dataclass(frozen=True)
class TermWeights:
    """Weight of each term; 0 means: computed and reported, not trained on."""

    rec: float = 1.0
    """L1 of the mel, in units of `audio.mel_std` (2 nats)."""
    kl: float = 1.0
    """KL of z_spk to N(0, I), nats per dimension, above `kl.free_nats`; multiplied by annealing."""
    adv: float = 1.0
    """Mel adversary; the seed guide's lambda_adv is 1 to 2."""
    feature_matching: float = 2.0
    """L1 of the mel discriminators' features, relative to their size."""
    semantic: float = 1.0
    """Cross-entropy of GPT's tokens, nats per token."""
    speaker: float = 0.1
    """Cross-entropy of the speaker classifier on z_spk; keeps z_spk from collapsing."""
    flow: float = 1.0
    """Flow-matching decoder: mean squared error of the velocity."""
    wave_mel: float = 2.0
    """Multi-scale mel L1 of the waveform, nats."""
    wave_stft: float = 1.0
    """Multi-resolution STFT distance of the waveform."""
    wave_adv: float = 1.0
    """Waveform adversary."""
    wave_feature_matching: float = 2.0
    """L1 of the waveform discriminators' features, relative to their size."""
    f0: float = 1.0
    """Pitch prediction from the mel (prior_istft vocoder)."""
    ctc: float = 1.0
    """Phoneme CTC of the tokenizer before and after quantization, nats per phoneme."""
    tokenizer_rec: float = 1.0
    """Mel L1 of the tokenizer's reconstruction, in units of `audio.mel_std`."""


@dataclass(frozen=True)
class RecConfig:
    """Reconstruction of the mel."""

    kind: str = "mae"
    """Distance: mae (L1), mse, huber, log_cosh or quantile (losses/regression.py)."""
    parameters: RegressionParameters = field(default_factory=RegressionParameters)
    """Threshold of huber, level of quantile."""


@dataclass(frozen=True)
class SemanticConfig:
    """GPT's semantic loss."""

    label_smoothing: float = 0.05
    """Probability spread over the other tokens (arXiv 1512.00567, section 7)."""


@dataclass(frozen=True)
class KLConfig:
    """Control of the speaker posterior's KL."""

    annealing: Annealing = field(default_factory=Annealing)
    """Multiplier of the weight over the updates, 0 to 1 (arXiv 1511.06349, 1903.10145)."""
    free_nats: float = 0.5
    """Nats per dimension that cost nothing (arXiv 1606.04934, section 4.1)."""


@dataclass(frozen=True)
class AdversaryConfig:
    """One adversary: a set of discriminators and the terms it gives."""

    enabled: bool = True
    """False: no discriminators, no adversarial terms."""
    kind: str = "lsgan"
    """lsgan, hinge, bce or wasserstein (losses/adversarial.py)."""
    freeze_steps: int = 0
    """Updates at the start without discriminators: they neither learn nor teach."""
    r1_weight: float = 1.0
    """Weight of R1 (gamma / 2 of arXiv 1801.04406, eq. 9); 0 switches it off."""
    r1_interval: int = 16
    """Updates between two R1 penalties; the weight is multiplied by it (arXiv 1912.04958)."""

    def __post_init__(self) -> None:
        if self.freeze_steps < 0 or self.r1_interval < 1 or self.r1_weight < 0:
            raise ValueError(
                "freeze_steps and r1_weight must be 0 or more and r1_interval 1 or more, got "
                f"{self.freeze_steps}, {self.r1_weight}, {self.r1_interval}"
            )


@dataclass(frozen=True)
class ObjectiveConfig:
    """Everything that says what training optimizes."""

    weights: TermWeights = field(default_factory=TermWeights)
    """Weight per generator term."""
    rec: RecConfig = field(default_factory=RecConfig)
    """Mel reconstruction."""
    semantic: SemanticConfig = field(default_factory=SemanticConfig)
    """Token cross-entropy."""
    kl: KLConfig = field(default_factory=KLConfig)
    """Speaker posterior."""
    adv: AdversaryConfig = field(default_factory=AdversaryConfig)
    """Mel discriminators."""
    wave_adv: AdversaryConfig = field(default_factory=AdversaryConfig)
    """Waveform discriminators."""
    mel_segment_frames: int = 128
    """Length of the crops that the mel discriminators see."""
    wave_segment_frames: int = 48
    """Length of the crops that the vocoder is trained on (48 frames = 12288 samples)."""
    vocoder_gain_db: tuple[float, float] = (-14.0, 3.0)
    """Range of the random gain that the vocoder's crops are trained at."""
    vocoder_input: str = "target"
    """Mel the vocoder trains on: `target` (the recording's) or `predicted` (the decoder's)."""

    def __post_init__(self) -> None:
        if self.vocoder_input not in ("target", "predicted"):
            raise ValueError(
                f"objective.vocoder_input is {self.vocoder_input!r}; give target or predicted"
            )
        if self.mel_segment_frames < 8 or self.wave_segment_frames < 8:
            raise ValueError("objective.*_segment_frames must be at least 8")


class Objective:
    """Weighs the terms of one update and adds them up.

    Args:
        config: Weights and annealing.
    """

    def __init__(self, config: ObjectiveConfig) -> None:
        self.config = config

    def weight(self, term: str, update: int) -> float:
        """The weight of `term` at `update`, annealing included.

        Raises:
            KeyError: There is no such term; the message lists those there are.
        """
        if term not in TERMS:
            raise KeyError(f"unknown term {term!r}; the terms are {', '.join(TERMS)}")
        weight = float(getattr(self.config.weights, term))
        return weight * self.config.kl.annealing.at(update) if term == "kl" else weight

    def total(self, terms: dict[str, Tensor], update: int) -> Float[Tensor, ""]:
        """The weighted sum of the terms, each a scalar.

        Raises:
            KeyError: A term has no weight of its name.
            ValueError: There is no term to train on.
        """
        weighted = [
            weight * self._trained_part(name, value)
            for name, value in terms.items()
            if (weight := self.weight(name, update)) != 0.0
        ]
        if not weighted:
            raise ValueError("every term has weight 0: there is nothing to train")
        return torch.stack(weighted).sum()

    def _trained_part(self, name: str, value: Tensor) -> Tensor:
        """`kl` is reported raw and trained above its free nats: below, nothing pushes it down."""
        return value.clamp(min=self.config.kl.free_nats) if name == "kl" else value


def active_terms(modules: list[str]) -> list[str]:
    """The terms that train at least one of the named modules.

    Raises:
        ValueError: A name is not one of `MODULES`.
    """
    unknown = sorted(set(modules) - set(MODULES))
    if unknown or not modules:
        raise ValueError(f"train.modules is {modules}; give one or more of {', '.join(MODULES)}")
    return [name for name, trained in TERMS.items() if set(trained) & set(modules)]
