"""The multi-term objective: which terms exist, what each one trains, and how they add up."""

from __future__ import annotations

from dataclasses import dataclass, field

import torch
from jaxtyping import Float
from torch import Tensor, nn

from losses.balance import BalanceConfig, build_balance
from losses.classification import CLASSIFICATION_KINDS, ClassificationParameters
from losses.regression import REGRESSION_KINDS, RegressionParameters
from timbre.adversary_config import AdversaryConfig
from timbre.kl import KLConfig
from timbre.likeness import ContrastiveConfig, PerceptualConfig
from timbre.policy import PolicyConfig
from timbre.preference import PreferenceConfig
from timbre.semantic import SemanticConfig

MODULES = ("tokenizer", "gpt", "sovits", "vocoder")
"""Names that `train.modules` may hold; each has its own learning rate."""


def check_parts(key: str, parts: list[str]) -> None:
    """Refuses names of parts, as sovits.decoder, that are in no module.

    Raises:
        ValueError: There is such a name in what was given for `key`.
    """
    if unknown := sorted(part for part in parts if part.split(".")[0] not in MODULES):
        raise ValueError(
            f"{key}: no module {unknown[0]!r}; there are {', '.join(MODULES)}, and their parts, as "
            "sovits.decoder"
        )


TERMS: dict[str, tuple[str, ...]] = {
    "ctc": ("tokenizer",),
    "tokenizer_rec": ("tokenizer",),
    "semantic": ("gpt", "sovits"),
    "rec": ("gpt", "sovits"),
    "flow": ("gpt", "sovits"),
    "diffusion": ("gpt", "sovits"),
    "pitch": ("gpt", "sovits"),
    "perceptual": ("gpt", "sovits"),
    "content_consistency": ("gpt", "sovits"),
    "speaker_consistency": ("gpt", "sovits"),
    "adv": ("gpt", "sovits"),
    "feature_matching": ("gpt", "sovits"),
    "kl": ("sovits",),
    "speaker": ("sovits",),
    "contrastive": ("sovits",),
    "policy": ("gpt",),
    "preference": ("gpt",),
    "wave_mel": ("vocoder",),
    "wave_stft": ("vocoder",),
    "wave_adv": ("vocoder",),
    "wave_feature_matching": ("vocoder",),
    "f0": ("vocoder",),
}
"""Generator terms and the modules that their gradients reach (tests/timbre/test_gradients.py).

`semantic` reaches only the speaker encoder in `sovits`: GPT hears the voice through z_spk.
"""

OPTIONAL = (
    *("perceptual", "content_consistency", "speaker_consistency", "contrastive"),
    *("policy", "preference"),
)
"""Terms that cost a network of their own: computed only where their weight is above 0."""

DISCRIMINATOR_TERMS = tuple(
    prefix + name for prefix in ("", "wave_") for name in ("disc", "r1", "gradient_penalty")
)


@dataclass(frozen=True)
class TermWeights:
    """Weight of each term; 0 means: computed and reported, not trained on.

    `OPTIONAL` terms of weight 0 are not even computed.
    """

    rec: float = 1.0
    """L1 of the mel, in units of `audio.mel_std` (2 nats)."""
    kl: float = 1.0
    """KL of z_spk to N(0, I), nats per dimension, above `kl.free_nats`; multiplied by annealing."""
    adv: float = 1.0
    """Mel adversary; the seed guide's lambda_adv is 1 to 2."""
    feature_matching: float = 2.0
    """L1 of the mel discriminators' features, relative to their size."""
    semantic: float = 1.0
    """`semantic.kind` of GPT's tokens: cross-entropy, nats per token."""
    speaker: float = 0.1
    """Cross-entropy of the speaker classifier on z_spk; keeps z_spk from collapsing."""
    flow: float = 1.0
    """Flow-matching decoder: mean squared error of the velocity."""
    diffusion: float = 1.0
    """Diffusion decoder: error of the noise, `model.decoder.diffusion.loss`."""
    perceptual: float = 0.0
    """Generative decoders: features of the mel that they recover from a noisy one."""
    content_consistency: float = 0.0
    """Tokenizer features of the predicted mel, relative to the recording's: what is said."""
    speaker_consistency: float = 0.0
    """1 - cosine of z_spk of the predicted mel and of the reference: who speaks."""
    contrastive: float = 0.0
    """`contrastive.kind` on z_spk: clips of one speaker together, others apart."""
    policy: float = 0.0
    """REINFORCE on what GPT says by itself, judged: `policy`."""
    preference: float = 0.0
    """DPO against readings that skip or repeat: `preference`."""
    pitch: float = 0.1
    """The decoder's voicing and pitch (sovits/regression.py)."""
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
    """Distance: mae (L1), mse, huber, log_cosh, quantile, multi_quantile (losses/regression.py)."""
    parameters: RegressionParameters = field(default_factory=RegressionParameters)
    """Threshold of huber, level of quantile, levels of multi_quantile."""

    def __post_init__(self) -> None:
        if self.kind not in REGRESSION_KINDS:
            raise ValueError(
                f"objective.rec.kind is {self.kind!r}; give one of {', '.join(REGRESSION_KINDS)}"
            )


@dataclass(frozen=True)
class SpeakerConfig:
    """The speaker classifier on z_spk, where there are several speakers."""

    kind: str = "cross_entropy"
    """cross_entropy, label_smoothing, adaptive_label_smoothing, categorical_hinge or focal."""
    parameters: ClassificationParameters = field(default_factory=ClassificationParameters)
    """Smoothing, exponent, margin."""

    def __post_init__(self) -> None:
        if self.kind not in CLASSIFICATION_KINDS:
            raise ValueError(
                f"objective.speaker.kind is {self.kind!r}; give one of "
                f"{', '.join(CLASSIFICATION_KINDS)}"
            )


@dataclass(frozen=True)
class ObjectiveConfig:
    """Everything that says what training optimizes."""

    weights: TermWeights = field(default_factory=TermWeights)
    """Weight per generator term."""
    rec: RecConfig = field(default_factory=RecConfig)
    """Mel reconstruction."""
    semantic: SemanticConfig = field(default_factory=SemanticConfig)
    """Token cross-entropy and its relatives."""
    kl: KLConfig = field(default_factory=KLConfig)
    """Speaker posterior."""
    speaker: SpeakerConfig = field(default_factory=SpeakerConfig)
    """Speaker classifier."""
    contrastive: ContrastiveConfig = field(default_factory=ContrastiveConfig)
    """Clips of one speaker together, where `weights.contrastive` is above 0."""
    perceptual: PerceptualConfig = field(default_factory=PerceptualConfig)
    """Whose features `weights.perceptual` is about."""
    policy: PolicyConfig = field(default_factory=PolicyConfig)
    """REINFORCE, where `weights.policy` is above 0 (experiment=gpt_policy)."""
    preference: PreferenceConfig = field(default_factory=PreferenceConfig)
    """DPO, where `weights.preference` is above 0 (experiment=gpt_dpo)."""
    balance: BalanceConfig = field(default_factory=BalanceConfig)
    """How the weighted terms are added up (losses/balance.py)."""
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
        balance = self.balance
        named = (*balance.names, balance.reference, balance.adapted)
        if unknown := [name for name in named if name not in TERMS]:
            raise ValueError(
                f"objective.balance: no term {unknown[0]!r}; the terms are {', '.join(TERMS)}"
            )
        if balance.kind in ANCHORED and len({balances_wave(name) for name in self.balanced}) > 1:
            raise ValueError(
                f"objective.balance={balance.kind}: {', '.join(self.balanced)} do not meet at one "
                "output; name terms of the mel or terms of the waveform"
            )
        for term, adversary in (("adv", self.adv), ("wave_adv", self.wave_adv)):
            negative = adversary.kind in ("hinge", "wasserstein")
            if balance.kind == "uncertainty" and negative and term in balance.names:
                raise ValueError(
                    f"objective.balance=uncertainty: {term} of kind {adversary.kind} may be "
                    f"negative, which has no variance; leave {term} out of balance.names"
                )

    @property
    def balanced(self) -> list[str]:
        """The terms that the balance looks at."""
        balance = self.balance
        adaptive = balance.kind == "adaptive"
        return [balance.reference, balance.adapted] if adaptive else list(balance.names)


ANCHORED = ("gradient", "adaptive")
"""Kinds of balance that measure gradients where the terms meet."""


def balances_wave(term: str) -> bool:
    """Whether a term is a function of the generated waveform."""
    return term.startswith("wave_")


class Objective(nn.Module):
    """Weighs the terms of one update and adds them up.

    A module because a balance may have learned or averaged state, which a resumed run needs.

    Args:
        config: Weights, annealing, balance.
        updates_per_epoch: Updates in which each recording comes once, for annealing by epochs.
    """

    def __init__(self, config: ObjectiveConfig, updates_per_epoch: int = 1) -> None:
        super().__init__()
        self.config = config
        self.updates_per_epoch = updates_per_epoch
        self.balance = build_balance(config.balance)

    def weight(self, term: str, update: int) -> float:
        """The weight of `term` at `update`, annealing and the adversaries' ramps included.

        Raises:
            KeyError: There is no such term; the message lists those there are.
        """
        if term not in TERMS:
            raise KeyError(f"unknown term {term!r}; the terms are {', '.join(TERMS)}")
        weight = float(getattr(self.config.weights, term))
        if term == "kl":
            per_epoch = self.config.kl.annealing_unit == "epochs"
            progress = update / self.updates_per_epoch if per_epoch else update
            return weight * self.config.kl.annealing.at(progress)
        if term in ("adv", "feature_matching"):
            return weight * self.config.adv.strength(update)
        if term in ("wave_adv", "wave_feature_matching"):
            return weight * self.config.wave_adv.strength(update)
        return weight

    def is_trained(self, term: str) -> bool:
        """Whether the term has a weight at all."""
        return float(getattr(self.config.weights, term)) != 0

    def total(self, terms: dict[str, Tensor], update: int) -> Float[Tensor, ""]:
        """The weighted sum of the terms, each a scalar; see `weighted`."""
        return torch.stack(list(self.weighted(terms, update).values())).sum()

    def weighted(
        self,
        terms: dict[str, Tensor],
        update: int,
        trained: dict[str, Tensor] | None = None,
        anchor: Tensor | None = None,
    ) -> dict[str, Tensor]:
        """What each term adds to the total; terms of weight 0 are left out.

        Args:
            terms: Scalars by name, as they are reported.
            update: Present update.
            trained: Terms that are trained in another form than they are reported: the KL.
            anchor: Where the balance measures gradients, for the kinds of `ANCHORED`.

        Raises:
            KeyError: A term has no weight of its name.
            ValueError: There is no term to train on.
        """
        weights = {name: self.weight(name, update) for name in terms}
        if not any(weights.values()):
            raise ValueError("every term has weight 0: there is nothing to train")
        return self.balance.weigh({**terms, **(trained or {})}, weights, anchor)


def active_terms(modules: list[str]) -> list[str]:
    """The terms that train at least one of the named modules.

    Raises:
        ValueError: A name is not one of `MODULES`.
    """
    unknown = sorted(set(modules) - set(MODULES))
    if unknown or not modules:
        raise ValueError(f"train.modules is {modules}; give one or more of {', '.join(MODULES)}")
    return [name for name, trained in TERMS.items() if set(trained) & set(modules)]
