"""`VoiceCloner`: the training loop of one update, and nothing else.

One batch is one update: the generator side (tokenizer, GPT, SoVITS, vocoder: whatever
`train.modules` names) runs forward once, the discriminators learn from its detached outputs, then
the generators learn against the discriminators just updated.
"""

from __future__ import annotations

import logging
import math
from dataclasses import asdict, dataclass, field
from typing import Any, cast

import lightning
import torch
from lightning.pytorch.core.optimizer import LightningOptimizer
from torch import Tensor
from torch.optim.swa_utils import AveragedModel

from data.batch import Batch
from data.errors import InputError
from sovits.discriminator import MultiScaleMelDiscriminator
from sovits.speaker_encoder import SpeakerClassifier
from timbre.adversary import Adversary
from timbre.config import RunConfig
from timbre.networks import Networks
from timbre.objective import Objective, active_terms
from timbre.optimization import build_optimizers, set_learning_rates, warmed_average
from timbre.randomness import Draw
from timbre.terms import AcousticTerms, Crops, TokenizerTerms, VocoderTerms
from vocoder.discriminators import WaveDiscriminator

logger = logging.getLogger(__name__)

_RESUMED = ("update", "minutes", "best_score", "best_update", "error_limit")


@dataclass
class Outputs:
    """What the generator side made of one batch."""

    terms: dict[str, Tensor] = field(default_factory=dict)
    """Scalar loss per term, unweighted."""
    reports: dict[str, Tensor] = field(default_factory=dict)
    """Further scalars to log."""
    mel: Crops | None = None
    """Real and predicted mel segments `[batch, mels, frames]`, for the mel adversary."""
    wave: Crops | None = None
    """Real and generated waveforms `[batch, samples]`, for the waveform adversary."""


class NonFiniteLossError(InputError):
    """Too many updates in a row had a loss or gradient that is not a number."""


class VoiceCloner(lightning.LightningModule):
    """Wires the four networks and the two adversaries under one objective.

    Args:
        config: The run: sizes, objective, optimizer, what to train.
        speakers: Number of training speakers; with one there is nothing to classify.
        networks: The networks to train, in place; None: fresh ones.
    """

    def __init__(self, config: RunConfig, speakers: int, networks: Networks | None = None) -> None:
        super().__init__()
        self.automatic_optimization = False
        self.config = config
        self.save_hyperparameters({"config": asdict(config), "speakers": speakers})
        self.networks = networks or Networks(config.model, config.audio)
        self.objective = Objective(config.objective)
        self.active = set(active_terms(config.train.modules))
        width = self.networks.config.speaker_encoder.speaker_channels
        self.speaker_classifier = (
            SpeakerClassifier(width, speakers)
            if speakers > 1 and "sovits" in config.train.modules
            else None
        )
        objective, model = config.objective, self.networks.config
        self.mel_adversary = (
            Adversary(MultiScaleMelDiscriminator(model.mel_discriminator), objective.adv)
            if objective.adv.enabled and "adv" in self.active
            else None
        )
        self.wave_adversary = (
            Adversary(WaveDiscriminator(model.wave_discriminator), objective.wave_adv)
            if objective.wave_adv.enabled and "wave_adv" in self.active
            else None
        )
        self.tokenizer_terms = TokenizerTerms(config)
        self.acoustic_terms = AcousticTerms(config)
        self.vocoder_terms = VocoderTerms(config)
        for name, module in self.networks.named_children():
            module.requires_grad_(name in config.train.modules)
        decay = config.train.average_decay
        self.average = (
            AveragedModel(self.networks, multi_avg_fn=warmed_average(decay))
            if decay is not None
            else None
        )
        if self.average is not None:
            self.average.requires_grad_(False)
        self.update = 0
        """Finished generator updates (Lightning's global_step counts both optimizers' steps)."""
        self.minutes = 0.0
        """Time trained so far, kept by the callback that keeps the time budget."""
        self.best_score, self.best_update = -math.inf, 0
        """Highest held-out score so far, and where it was."""
        self.error_limit: float | None = None
        """Highest error rate at which a voice may be the best; None where the run did not start
        from a voice that can speak, and is not judged by listening."""
        self._resumed_from: dict[str, Any] | None = None
        self.skipped: list[str] = []
        """Optimizers whose step of the last update was skipped, and for how many updates so far."""
        self.non_finite_in_a_row = 0
        self.scalars: dict[str, Tensor] = {}
        """What the last update logs; callbacks read it."""

    @property
    def is_finished(self) -> bool:
        """Whether the budget of updates or minutes is used up."""
        budget = self.config.train
        out_of_time = budget.minutes is not None and self.minutes >= budget.minutes
        return out_of_time or self.update >= budget.updates

    @property
    def scheduled_update(self) -> int:
        """Where the schedules are: the update, or further if `train.minutes` runs out before."""
        budget = self.config.train
        if budget.minutes is None:
            return self.update
        return max(self.update, int(budget.updates * self.minutes / budget.minutes))

    def train(self, mode: bool = True) -> VoiceCloner:
        """Training mode for the modules that are trained; the others stay in evaluation mode."""
        super().train(mode)
        for name, module in self.networks.named_children():
            module.train(mode and name in self.config.train.modules)
        return self

    @property
    def judged_networks(self) -> Networks:
        """The networks that are judged and saved: the moving average where there is one."""
        return self.networks if self.average is None else cast(Networks, self.average.module)

    def configure_optimizers(self) -> list[torch.optim.Optimizer]:
        """One optimizer for the generators, and one for the discriminators if there are any."""
        return build_optimizers(self)

    def draw(self) -> Draw:
        """Randomness of the coming update, equal for the same items on any number of devices."""
        if self._trainer is None:
            return Draw(self.device)
        return Draw(self.device, self.trainer.world_size, self.trainer.global_rank)

    def training_step(self, batch: Batch, batch_index: int) -> None:
        """One discriminator and one generator update."""
        # Every update draws from its own random stream, so that a resumed run draws the same.
        torch.manual_seed(self.config.train.seed * 1_000_003 + self.update)
        set_learning_rates(self)
        self.skipped = []
        outputs = self.forward_terms(batch)
        scalars = dict(outputs.reports)
        if self.mel_adversary is not None or self.wave_adversary is not None:
            scalars |= self.discriminator_update(outputs)
            self.adversarial_terms(outputs)
        scalars |= self.generator_update(outputs.terms)
        scalars |= {name: value.detach() for name, value in outputs.terms.items()}
        if self.average is not None:
            self.average.update_parameters(self.networks)
        self.scalars = scalars
        self.count_non_finite()
        self.update += 1

    def forward_terms(self, batch: Batch) -> Outputs:
        """Runs the trained modules forward: all terms but the adversarial ones."""
        outputs = Outputs()
        predicted: Tensor | None = None
        if "ctc" in self.active:
            outputs.terms |= self.tokenizer_terms(self.networks, batch)
        draw = self.draw()
        if "semantic" in self.active:
            acoustic = self.acoustic_terms(self.networks, self.speaker_classifier, batch, draw)
            outputs.terms |= acoustic.terms
            outputs.reports |= acoustic.reports
            outputs.mel, predicted = acoustic.crops, acoustic.mel
        if "wave_mel" in self.active:
            vocoded = self.vocoder_terms(self.networks, batch, predicted, draw)
            outputs.terms |= vocoded.terms
            outputs.wave = vocoded.crops
        return outputs

    def held_out_terms(self, batch: Batch, draw: Draw) -> dict[str, Tensor]:
        """The terms of a validation batch without the adversaries, z_spk at its mean."""
        networks = self.judged_networks
        terms: dict[str, Tensor] = {}
        if "ctc" in self.active:
            terms |= self.tokenizer_terms(networks, batch)
        if "semantic" in self.active:
            acoustic = self.acoustic_terms(networks, None, batch, draw, sample=False)
            terms |= acoustic.terms | acoustic.reports
        if "wave_mel" in self.active:
            terms |= self.vocoder_terms(networks, batch, None, draw).terms
        return terms

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Adds what a resumed run needs beside weights and optimizers, as plain values."""
        checkpoint["timbre"] = {name: getattr(self, name) for name in _RESUMED}

    def resume(self, checkpoint: dict[str, Any]) -> None:
        """Takes everything back from a run's checkpoint; the optimizers when training starts."""
        self.load_state_dict(checkpoint["state_dict"])
        for name in _RESUMED:
            setattr(self, name, checkpoint["timbre"].get(name, getattr(self, name)))
        self._resumed_from = checkpoint

    def on_train_start(self) -> None:
        """Gives resumed optimizers their state, but the rates of the present configuration."""
        if self._resumed_from is None:
            return
        states = self._resumed_from["optimizer_states"]
        for optimizer, state in zip(self.trainer.optimizers, states, strict=True):
            peaks = [group["peak"] for group in optimizer.param_groups]
            optimizer.load_state_dict(state)
            for group, peak in zip(optimizer.param_groups, peaks, strict=True):
                group["peak"] = peak
        precision = self.trainer.precision_plugin
        if (state := self._resumed_from.get(type(precision).__qualname__)) is not None:
            precision.load_state_dict(state)
        self._resumed_from = None

    def adversaries(self, outputs: Outputs) -> list[tuple[str, Adversary, Crops]]:
        """The adversaries that act at this update, each with a prefix and its inputs."""
        found = []
        for prefix, adversary, crops in (
            ("", self.mel_adversary, outputs.mel),
            ("wave_", self.wave_adversary, outputs.wave),
        ):
            if adversary is not None and crops is not None and adversary.is_active(self.update):
                found.append((prefix, adversary, crops))
        return found

    def discriminator_update(self, outputs: Outputs) -> dict[str, Tensor]:
        """Teaches the discriminators; nothing of it reaches the generators."""
        losses: list[Tensor] = []
        scalars: dict[str, Tensor] = {}
        for prefix, adversary, crops in self.adversaries(outputs):
            terms = adversary.discriminator_loss(crops.real, crops.fake, self.update)
            losses.append(adversary.total(terms))
            scalars |= {prefix + name: value.detach() for name, value in terms.items()}
        if losses:
            optimizer = self.optimizer_named("discriminator")
            scalars |= self.step(optimizer, torch.stack(losses).sum(), "discriminator")
        return scalars

    def adversarial_terms(self, outputs: Outputs) -> None:
        """Adds the terms that the discriminators, now updated, give the generators."""
        for prefix, adversary, crops in self.adversaries(outputs):
            adversarial, matching = adversary.generator_loss(crops.real, crops.fake)
            outputs.terms |= {
                f"{prefix}adv": adversarial,
                f"{prefix}feature_matching": matching,
            }

    def generator_update(self, terms: dict[str, Tensor]) -> dict[str, Tensor]:
        """Teaches the generators the weighted sum of all terms."""
        total = self.objective.total(terms, self.update)
        return {
            "total": total.detach(),
            **self.step(self.optimizer_named("generator"), total, "generator"),
        }

    def optimizer_named(self, name: str) -> LightningOptimizer:
        """The `generator` or the `discriminator` optimizer."""
        optimizers: Any = self.optimizers()
        if not isinstance(optimizers, list):
            optimizers = [optimizers]
        found: LightningOptimizer = optimizers[0 if name == "generator" else 1]
        return found

    def step(self, optimizer: LightningOptimizer, loss: Tensor, name: str) -> dict[str, Tensor]:
        """One optimizer step with clipped gradients; a non-finite one is skipped."""
        optimizer.zero_grad(set_to_none=True)
        self.manual_backward(loss)
        # fp16's gradients are scaled until the optimizer steps: so must the limit be.
        scaler = getattr(self.trainer.precision_plugin, "scaler", None)
        scale = scaler.get_scale() if scaler is not None else 1.0
        parameters = [p for group in optimizer.param_groups for p in group["params"]]
        limit = getattr(self.config.optimizer, f"{name}_clip") * scale
        norm = torch.nn.utils.clip_grad_norm_(parameters, limit) / scale
        if torch.isfinite(norm):
            optimizer.step()
        elif scaler is not None and torch.isfinite(loss):
            optimizer.step()  # an overflow of fp16: the scaler skips the step and lowers its scale
        else:
            optimizer.zero_grad(set_to_none=True)
            self.skipped.append(name)
        return {f"{name}_gradient_norm": norm.detach()}

    def count_non_finite(self) -> None:
        """Warns of a skipped step, and stops the run when there are too many updates in a row.

        Raises:
            NonFiniteLossError: `train.max_non_finite` updates in a row had a skipped step.
        """
        if not self.skipped:
            self.non_finite_in_a_row = 0
            return
        self.non_finite_in_a_row += 1
        limit = self.config.train.max_non_finite
        logger.warning(
            "update %d: loss or gradient of the %s not finite; skipped (%d in a row, stops at %d)",
            self.update,
            " and the ".join(self.skipped),
            self.non_finite_in_a_row,
            limit,
        )
        if self.non_finite_in_a_row >= limit:
            raise NonFiniteLossError(
                f"update {self.update}: {limit} updates in a row were not finite. The weights are "
                "those of the last good update. Halve the learning rates (optimizer.rates.*), use "
                "trainer.precision=32-true, and check the recordings for silence and clipping."
            )
