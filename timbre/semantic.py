"""GPT's semantic loss: how its predictions of the next token are compared with the recording's."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from data.batch import Batch
from gpt.model import GPTOutputs
from losses.classification import (
    CLASSIFICATION_KINDS,
    WEIGHTED_KINDS,
    ClassificationParameters,
    classification,
)
from losses.distillation import distillation_loss
from timbre.networks import Networks

SEMANTIC_KINDS = (*CLASSIFICATION_KINDS, "distillation")


@dataclass(frozen=True)
class SemanticConfig:
    """GPT's semantic loss."""

    kind: str = "label_smoothing"
    """cross_entropy, label_smoothing, adaptive_label_smoothing, categorical_hinge, focal
    (losses/classification.py), or distillation from `teacher`."""
    label_smoothing: float = 0.05
    """Probability spread over the other tokens (arXiv 1512.00567, section 7): by label_smoothing
    and distillation, and at most by adaptive_label_smoothing."""
    focal_gamma: float = 2.0
    """Exponent of focal."""
    margin: float = 1.0
    """Margin of categorical_hinge, in units of the logits."""
    end_weight: float = 1.0
    """Weight of the end of a phoneme among the classes, for cross_entropy and label_smoothing:
    above 1 against phonemes that are drawn out."""
    teacher: str | None = None
    """distillation: the bundle (or run, or name of a voice) whose GPT is the teacher."""
    temperature: float = 2.0
    """distillation: above 1 shows more of the teacher's small probabilities (arXiv 1503.02531)."""
    teacher_share: float = 0.5
    """distillation: share of the teacher; the rest is cross-entropy with the recording's tokens."""

    def __post_init__(self) -> None:
        if self.kind not in SEMANTIC_KINDS:
            raise ValueError(
                f"objective.semantic.kind is {self.kind!r}; give one of {', '.join(SEMANTIC_KINDS)}"
            )
        if (self.kind == "distillation") != (self.teacher is not None):
            raise ValueError(
                "objective.semantic: kind=distillation and teacher=BUNDLE go together; give both "
                "or none"
            )
        if self.end_weight <= 0 or self.temperature <= 0 or not 0 < self.teacher_share <= 1:
            raise ValueError(
                "objective.semantic needs end_weight and temperature above 0 and a teacher_share "
                "in (0, 1]"
            )
        if self.end_weight != 1 and self.kind not in WEIGHTED_KINDS:
            raise ValueError(
                f"objective.semantic.end_weight goes with {' or '.join(WEIGHTED_KINDS)}, not with "
                f"kind={self.kind}"
            )
        self.parameters()

    def parameters(self) -> ClassificationParameters:
        """The same for losses/classification.py, which refuses impossible values."""
        return ClassificationParameters(self.label_smoothing, self.focal_gamma, self.margin)


class SemanticLoss:
    """The semantic term of a batch.

    Args:
        config: Kind and parameters.
        teacher: The networks of the teacher, for the kind distillation.
    """

    def __init__(self, config: SemanticConfig, teacher: Networks | None = None) -> None:
        self.config = config
        self.teacher = teacher

    def __call__(self, outputs: GPTOutputs, batch: Batch) -> Float[Tensor, ""]:
        """The loss per target, in nats where the kind has nats."""
        config = self.config
        hard = "label_smoothing" if config.kind == "distillation" else config.kind
        loss = classification(
            outputs.logits,
            outputs.targets,
            hard,
            config.parameters(),
            class_weights=self._class_weights(outputs.logits),
        )
        if self.teacher is None:
            return loss
        mask = outputs.targets >= 0
        taught = self._teacher_logits(self.teacher, batch)
        soft = distillation_loss(outputs.logits, taught, config.temperature, mask)
        return (1 - config.teacher_share) * loss + config.teacher_share * soft

    def reports(self, outputs: GPTOutputs) -> dict[str, Tensor]:
        """`cross_entropy` in nats per token, where the loss itself is something else."""
        if self.config.kind in WEIGHTED_KINDS and self.config.end_weight == 1:
            return {}
        return {"cross_entropy": classification(outputs.logits.detach(), outputs.targets)}

    def _class_weights(self, logits: Tensor) -> Tensor | None:
        if self.config.end_weight == 1:
            return None
        weights = logits.new_ones(logits.shape[-1], dtype=torch.float32)
        weights[-1] = self.config.end_weight
        return weights

    @staticmethod
    @torch.no_grad()
    def _teacher_logits(teacher: Networks, batch: Batch) -> Tensor:
        assert batch.tokens is not None
        assert batch.token_lengths is not None
        teacher.to(batch.mel.device)
        z_spk = teacher.sovits(batch.reference, batch.reference_lengths)
        outputs: GPTOutputs = teacher.gpt(
            batch.phonemes,
            batch.marks,
            batch.phoneme_lengths,
            batch.tokens,
            batch.token_lengths,
            batch.durations,
            z_spk,
        )
        return outputs.logits
