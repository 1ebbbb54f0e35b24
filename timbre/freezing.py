"""What of the networks is trained, and what keeps its weights."""

from __future__ import annotations

from data.errors import InputError
from timbre.config import RunConfig
from timbre.networks import Networks


def frozen_parts(config: RunConfig) -> list[str]:
    """Names of the parts of trained modules that keep the weights which a bundle gave them."""
    modules = {part: part.split(".")[0] for part in config.train.frozen}
    return [
        part
        for part, module in modules.items()
        if module in config.train.modules and config.source_of(module) != "none"
    ]


def choose_trained(networks: Networks, config: RunConfig) -> None:
    """Requires gradients of what is trained: `train.modules` without `train.frozen`.

    Raises:
        InputError: There is no such part to freeze, or nothing else.
    """
    for name, module in networks.named_children():
        module.requires_grad_(name in config.train.modules)
    frozen = frozen_parts(config)
    for part in frozen:
        try:
            networks.get_submodule(part).requires_grad_(False)
        except AttributeError as error:
            raise InputError(
                f"train.frozen: there is no part {part!r} ({error}); name another, as "
                "sovits.speaker_encoder"
            ) from error
    if frozen and not any(parameter.requires_grad for parameter in networks.parameters()):
        raise InputError(
            f"train.frozen=[{','.join(frozen)}] leaves nothing of "
            f"train.modules=[{','.join(config.train.modules)}] to train; add train.frozen=[] to "
            "train all of it"
        )
