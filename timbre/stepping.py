"""An optimizer's step: clipped, skipped where it would destroy the weights, counted if so."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

import torch
from lightning.pytorch.core.optimizer import LightningOptimizer
from lightning.pytorch.plugins import Precision
from torch import Tensor

from data.errors import InputError
from timbre.optimization import gradient_norms

if TYPE_CHECKING:
    from timbre.module import VoiceCloner

logger = logging.getLogger(__name__)


class NonFiniteLossError(InputError):
    """Too many updates in a row had a loss or gradient that is not a number."""


def clipped_step(
    optimizer: LightningOptimizer, loss: Tensor, limit: float, precision: Precision
) -> tuple[bool, dict[str, Tensor]]:
    """One step with the gradients that are there, none where they are not finite.

    Args:
        optimizer: Its parameters hold gradients.
        loss: What was differentiated.
        limit: Largest norm of all gradients together.
        precision: The trainer's, for fp16's scale.

    Returns:
        Whether a step was taken, and the gradient norm of each parameter group before clipping.
    """
    # fp16's gradients are scaled until the optimizer steps: so must the limit be.
    scaler = getattr(precision, "scaler", None)
    scale = scaler.get_scale() if scaler is not None else 1.0
    parameters = [p for group in optimizer.param_groups for p in group["params"]]
    norms = gradient_norms(optimizer)
    norm = torch.stack(list(norms.values())).norm()
    torch.nn.utils.clip_grads_with_norm_(parameters, limit * scale, norm)
    # An overflow of fp16 steps too: the scaler skips the step and lowers its scale.
    taken = bool(torch.isfinite(norm)) or (scaler is not None and bool(torch.isfinite(loss)))
    if taken:
        optimizer.step()
    else:
        optimizer.zero_grad(set_to_none=True)
    return taken, {name: value.detach() / scale for name, value in norms.items()}


def warn_of_skipped(module: VoiceCloner) -> None:
    """Warns of a skipped step, and stops the run when there are too many updates in a row.

    Raises:
        NonFiniteLossError: `train.max_non_finite` updates in a row had a skipped step.
    """
    limit, in_a_row = module.config.train.max_non_finite, module.non_finite_in_a_row
    logger.warning(
        "update %d: loss or gradient of the %s not finite; skipped (%d in a row, stops at %d)",
        module.update,
        " and the ".join(module.skipped),
        in_a_row,
        limit,
    )
    if in_a_row >= limit:
        raise NonFiniteLossError(
            f"update {module.update}: {limit} updates in a row were not finite. The weights are "
            "those of the last good update. Halve the learning rates (optimizer.rates.*), use "
            "trainer.precision=32-true, and check the recordings for silence and clipping."
        )
