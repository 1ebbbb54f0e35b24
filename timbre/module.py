"""`VoiceCloner`: the training loop of one update, and nothing else.

One batch is one update: the generator side (tokenizer, GPT, SoVITS, vocoder: whatever
`train.modules` names) runs forward, the discriminators learn from its detached outputs, then the
generators learn against the discriminators just updated; in parts where memory is short.
"""

from __future__ import annotations

import copy
import math
from collections.abc import Callable
from dataclasses import asdict
from typing import Any, cast

import lightning
import torch
from lightning.pytorch.core.optimizer import LightningOptimizer
from torch import Tensor
from torch.optim.swa_utils import AveragedModel

from data.batch import Batch
from sovits.discriminator import MultiScaleMelDiscriminator
from sovits.speaker_encoder import SpeakerClassifier
from timbre.accumulation import Memory, Part, split, total_of
from timbre.acoustic import AcousticTerms
from timbre.adversary import Adversary
from timbre.config import RunConfig
from timbre.freezing import choose_trained
from timbre.lora import Adapters
from timbre.networks import Networks
from timbre.objective import ANCHORED, Objective, active_terms, balances_wave
from timbre.optimization import build_optimizers, set_learning_rates, warmed_average
from timbre.policy import PolicyTerms
from timbre.preference import PreferenceTerms
from timbre.randomness import Draw
from timbre.semantic import SemanticLoss
from timbre.stepping import clipped_step, warn_of_skipped
from timbre.terms import Crops, Outputs, TokenizerTerms, VocoderTerms
from vocoder.discriminators import WaveDiscriminator

_STREAMS = 2**40
"""Distance of the random streams of an update's parts: more than any run has updates."""
_RESUMED = ("update", "minutes", "best_score", "best_update", "best_average", "error_limit")


class VoiceCloner(lightning.LightningModule):
    """Wires the four networks and the two adversaries under one objective.

    Args:
        config: The run: sizes, objective, optimizer, what to train.
        speakers: Number of training speakers; with one there is nothing to classify.
        networks: The networks to train, in place; None: fresh ones.
        updates_per_epoch: Updates in which each recording comes once.
        teacher: Networks to distil from, for objective.semantic.kind=distillation.
    """

    def __init__(
        self,
        config: RunConfig,
        speakers: int,
        networks: Networks | None = None,
        updates_per_epoch: int = 1,
        teacher: Networks | None = None,
    ) -> None:
        super().__init__()
        self.automatic_optimization = False
        self.config = config
        self.save_hyperparameters({"config": asdict(config), "speakers": speakers})
        self.networks = networks or Networks(config.model, config.audio)
        self.objective = Objective(config.objective, updates_per_epoch)
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
        self.acoustic_terms = AcousticTerms(config, SemanticLoss(objective.semantic, teacher))
        self.vocoder_terms = VocoderTerms(config)
        self.policy_terms = PolicyTerms(objective.policy)
        self.preference_terms = PreferenceTerms(objective.preference)
        optimizes_preference = objective.weights.policy or objective.weights.preference
        self.reference_gpt = (
            copy.deepcopy(self.networks.gpt).requires_grad_(False).eval()
            if optimizes_preference and "gpt" in config.train.modules
            else None
        )
        """The GPT that the run began with, where it is to stay near to it; saved with the run."""
        choose_trained(self.networks, config)
        self.adapters = Adapters(self.networks, config.train.lora, config.train.modules)
        decay = config.train.average_decay
        self.average = (
            AveragedModel(self.networks, multi_avg_fn=warmed_average(decay)).requires_grad_(False)
            if decay is not None
            else None
        )
        self.update = 0
        """Finished generator updates (Lightning's global_step counts both optimizers' steps)."""
        self.minutes = 0.0
        """Time trained so far, kept by the callback that keeps the time budget."""
        self.best_score, self.best_update = -math.inf, 0
        self.best_average: list[int] = []
        """Highest held-out score so far, where it was, and the updates whose mean it is, if any."""
        self.error_limit: float | None = None
        """Highest error rate at which a voice may be the best; None where the run did not start
        from a voice that can speak, and is not judged by listening."""
        self._resumed_from: dict[str, Any] | None = None
        self.skipped: list[str] = []
        """Optimizers whose step of the last update was skipped, and for how many updates so far."""
        self.non_finite_in_a_row = 0
        self.scalars: dict[str, Tensor] = {}
        """What the last update logs; callbacks read it."""
        self.memory = Memory(config.train.accumulate)
        self._kept: Outputs | None = None

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
        if self.reference_gpt is not None:
            self.reference_gpt.eval()
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
        set_learning_rates(self)
        self.skipped = []
        scalars = self.discriminator_update(batch) | self.generator_update(batch)
        scalars["skipped"] = torch.tensor(float(bool(self.skipped)), device=self.device)
        self.adapters.merge(self.networks)
        if self.average is not None:
            self.average.update_parameters(self.networks)
        self.scalars = scalars
        self.non_finite_in_a_row = self.non_finite_in_a_row + 1 if self.skipped else 0
        if self.skipped:
            warn_of_skipped(self)
        self.update += 1

    def forward_part(self, part: Part) -> Outputs:
        """Runs a part of a batch forward: adapted layers with weights that lead to the adapters."""
        return cast(Outputs, self.adapters.call(self, "networks", part))

    def forward(self, part: Part) -> Outputs:
        """Runs a part of a batch forward, with the same random numbers at every call."""
        # Every update draws from its own random stream, so that a resumed run draws the same.
        stream = self.config.train.seed * 1_000_003 + self.update
        torch.manual_seed(stream + part.number * _STREAMS)
        outputs = self.forward_terms(part.batch, part.draw)
        if self.reference_gpt is not None:
            judging = (self.networks, self.reference_gpt, part.batch)
            if self.objective.is_trained("policy"):
                generator = torch.Generator(self.device).manual_seed(stream)
                outputs.add(*self.policy_terms(*judging, generator, part.items))
            if self.objective.is_trained("preference"):
                generator = torch.Generator().manual_seed(stream)
                outputs.add(*self.preference_terms(*judging, generator))
        return outputs

    def forward_terms(self, batch: Batch, draw: Draw | None = None) -> Outputs:
        """Runs the trained modules forward: the terms that need no adversary and no generation."""
        outputs = Outputs()
        if "ctc" in self.active:
            outputs.add(self.tokenizer_terms(self.networks, batch), {})
        draw = draw or self.draw()
        if "semantic" in self.active:
            acoustic = self.acoustic_terms(self.networks, self.speaker_classifier, batch, draw)
            outputs.add(acoustic.terms, acoustic.reports)
            outputs.trained = acoustic.trained
            outputs.mel, outputs.recovered = acoustic.crops, acoustic.recovered
            outputs.predicted = acoustic.mel
        if "wave_mel" in self.active:
            vocoded = self.vocoder_terms(self.networks, batch, outputs.predicted, draw)
            outputs.add(vocoded.terms, {})
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
        checkpoint["timbre"]["parts"] = self.memory.parts

    def resume(self, checkpoint: dict[str, Any]) -> None:
        """Takes everything back from a run's checkpoint; the optimizers when training starts."""
        self.load_state_dict(checkpoint["state_dict"])
        for name in _RESUMED:
            setattr(self, name, checkpoint["timbre"].get(name, getattr(self, name)))
        self.memory.parts = max(self.memory.parts, checkpoint["timbre"].get("parts", 1))
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

    def in_parts(
        self, name: str, batch: Batch, compute: Callable[[Part], dict[str, Tensor]]
    ) -> dict[str, Tensor]:
        """Gradients of the named optimizer's parameters, part by part; what the parts report.

        Begins anew with smaller parts when the memory is full.
        """
        optimizer, draw = self.optimizer_named(name), self.draw
        layout = self.networks.gpt.config.layout

        def attempt() -> dict[str, Tensor]:
            optimizer.zero_grad(set_to_none=True)
            if name == "discriminator":  # the graph of an attempt that failed must be free by now
                self._kept = None
            parts = split(batch, self.memory.parts, draw(), layout)
            return total_of(compute(part) for part in parts)

        return self.memory.fitted(len(batch), draw().world, attempt)

    def rehearse(self, batch: Batch) -> None:
        """Computes everything that an update does, and changes nothing but the number of parts."""
        buffers = {name: tensor.clone() for name, tensor in self.named_buffers()}
        if self.mel_adversary is not None or self.wave_adversary is not None:
            self.in_parts("discriminator", batch, self.discriminator_part)
        self.in_parts("generator", batch, self.generator_part)
        self.zero_grad(set_to_none=True)
        for name, tensor in self.named_buffers():  # of spectral norms and moving averages
            tensor.copy_(buffers[name])

    def discriminator_update(self, batch: Batch) -> dict[str, Tensor]:
        """Teaches the discriminators; nothing of it reaches the generators."""
        both = {"": self.mel_adversary, "wave_": self.wave_adversary}
        acting = {p: a for p, a in both.items() if a is not None and a.is_active(self.update)}
        if not acting:
            return {}
        learning = any(adversary.learns(self.update) for adversary in acting.values())
        scalars = self.in_parts("discriminator", batch, self.discriminator_part)
        for prefix, adversary in acting.items():
            accuracies = [v for n, v in scalars.items() if n.startswith(f"{prefix}accuracy/")]
            if accuracies:
                adversary.gate.observe(torch.stack(accuracies).mean())
        loss = scalars.pop("loss", None)
        if learning and loss is not None:
            scalars |= self.step("discriminator", loss)
        return scalars

    def discriminator_part(self, part: Part) -> dict[str, Tensor]:
        """Gradients of the discriminators for a part of the batch."""
        # The whole batch is run forward once, for both sides; parts once for each side.
        with torch.set_grad_enabled(part.is_whole):
            outputs = self.forward_part(part)
        self._kept = outputs if part.is_whole else None
        losses: list[Tensor] = []
        scalars: dict[str, Tensor] = {}
        for prefix, adversary, crops in self.adversaries(outputs):
            learns = adversary.learns(self.update)
            with torch.set_grad_enabled(learns):
                terms = adversary.discriminator_loss(crops.real, crops.fake, self.update)
            if learns:
                losses.append(adversary.total(terms))
            scalars |= {prefix + name: value.detach() for name, value in terms.items()}
            scalars[f"{prefix}disc_learns"] = torch.tensor(float(learns), device=self.device)
        if losses:
            loss = part.items * torch.stack(losses).sum()
            self.manual_backward(loss)
            return part.shared(scalars) | {"loss": loss.detach()}
        return part.shared(scalars)

    def adversarial_terms(self, outputs: Outputs) -> None:
        """Adds the terms that the discriminators, now updated, give the generators."""
        for prefix, adversary, crops in self.adversaries(outputs):
            adversarial, matching = adversary.generator_loss(crops.real, crops.fake)
            outputs.terms |= {
                f"{prefix}adv": adversarial,
                f"{prefix}feature_matching": matching,
            }
            if not prefix and (recovered := outputs.recovered) is not None:
                distance = adversary.feature_distance(recovered.real, recovered.fake)
                outputs.terms["perceptual"] = distance

    def generator_update(self, batch: Batch) -> dict[str, Tensor]:
        """Teaches the generators the weighted sum of all terms."""
        scalars = self.in_parts("generator", batch, self.generator_part)
        return scalars | self.step("generator", scalars["total"])

    def generator_part(self, part: Part) -> dict[str, Tensor]:
        """Gradients of the generators for a part of the batch."""
        outputs, self._kept = self._kept or self.forward_part(part), None
        self.adversarial_terms(outputs)
        weighted = self.objective.weighted(
            outputs.terms, self.update, outputs.trained, self.anchor(outputs)
        )
        crops = () if outputs.recovered is None else ("perceptual",)
        shared = part.shared(weighted, crops)
        total = torch.stack(list(shared.values())).sum()
        self.manual_backward(total)
        scalars = part.shared(outputs.reports | outputs.terms, crops)
        scalars |= {f"weighted/{name}": value for name, value in shared.items()}
        return {name: value.detach() for name, value in (scalars | {"total": total}).items()}

    def anchor(self, outputs: Outputs) -> Tensor | None:
        """Where the balance measures gradients: the output, or the weights that write it."""
        objective = self.config.objective
        if objective.balance.kind not in ANCHORED:
            return None
        if balances_wave(objective.balanced[0]):
            return None if outputs.wave is None else outputs.wave.fake
        last = self.networks.sovits.decoder.last_layer
        by_weights = objective.balance.kind == "adaptive" and last.requires_grad
        return last if by_weights else outputs.predicted

    def optimizer_named(self, name: str) -> LightningOptimizer:
        """The `generator` or the `discriminator` optimizer."""
        optimizers: Any = self.optimizers()
        if not isinstance(optimizers, list):
            optimizers = [optimizers]
        return cast(LightningOptimizer, optimizers[0 if name == "generator" else 1])

    def step(self, name: str, loss: Tensor) -> dict[str, Tensor]:
        """A step of the named optimizer with clipped gradients; a non-finite one is skipped."""
        limit: float = getattr(self.config.optimizer, f"{name}_clip")
        optimizer = self.optimizer_named(name)
        taken, norms = clipped_step(optimizer, loss, limit, self.trainer.precision_plugin)
        if not taken:
            self.skipped.append(name)
        return {f"{name}_gradient_norm": torch.stack(list(norms.values())).norm()} | {
            f"gradient_norm/{module}": norm for module, norm in norms.items()
        }
