"""What of the networks is trained, and what keeps its weights."""

from __future__ import annotations

from data.errors import InputError
from timbre.config import RunConfig
from timbre.networks import Networks


def choose_trained(networks: Networks, config: RunConfig) -> None:
    """Requires gradients of what is trained: `train.modules` without `train.frozen`.

    Raises:
        InputError: There is no such part to freeze.
    """
    for name, module in networks.named_children():
        module.requires_grad_(name in config.train.modules)
    for part in config.train.frozen:
        try:
            frozen = networks.get_submodule(part)
        except AttributeError as error:
            raise InputError(
                f"train.frozen: there is no part {part!r} ({error}); name another, as "
                "sovits.speaker_encoder"
            ) from error
        if config.source_of(part.split(".")[0]) != "none":
            frozen.requires_grad_(False)
