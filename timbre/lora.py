"""LoRA: a fine-tune that trains low-rank updates of the linear layers instead of their weights.

Hu et al., LoRA, arXiv 2106.09685: W = W0 + (alpha / rank) B A, with A of `rank` rows drawn at
random and B of `rank` columns that begins at 0. In training, W is computed from A and B under
autograd and stands in for the layer's weight in that forward pass alone; after every update it is
written into the networks. Whoever judges, averages, blends, saves or speaks sees plain networks
with their own names (peft renames the layers, and GPT's packed weights would not see its
adapters). This saves memory for the optimizer's states, not for gradients: the networks are small.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.func import functional_call

from data.errors import InputError
from timbre.networks import Networks
from timbre.objective import check_parts


@dataclass(frozen=True)
class LoraConfig:
    """What is trained by low-rank updates, and how."""

    rank: int = 0
    """Rank of the updates; 0 trains the weights themselves."""
    alpha: float | None = None
    """The updates are scaled by alpha / rank; None: alpha is the rank."""
    rate: float = 5.0
    """The updates learn at so many times `optimizer.rates.MODULE`: their steps move W less."""
    modules: list[str] = field(default_factory=lambda: ["gpt", "sovits.decoder"])
    """Modules or their parts, of those in train.modules: their linear layers get updates, and all
    else in them is frozen. What is not named is trained fully, or frozen by train.frozen."""

    def __post_init__(self) -> None:
        if self.rank < 0:
            raise ValueError(f"train.lora.rank is {self.rank}; give 1 or more, or 0 for none")
        for name, value in (("alpha", self.alpha), ("rate", self.rate)):
            if value is not None and value <= 0:
                raise ValueError(f"train.lora.{name} is {value}; give a number above 0")
        check_parts("train.lora.modules", self.modules)

    def parts(self, trained: list[str]) -> list[str]:
        """What gets updates, where these modules are trained."""
        return [part for part in self.modules if self.rank and part.split(".")[0] in trained]


class Adapter(nn.Module):
    """The update of one weight.

    Args:
        weight: W0; is copied.
        rank: Rows of A and columns of B.
        scale: Of their product.
    """

    def __init__(self, weight: Float[Tensor, "outputs inputs"], rank: int, scale: float) -> None:
        super().__init__()
        outputs, inputs = weight.shape
        self.scale = scale
        self.start = nn.Parameter(weight.detach().clone(), requires_grad=False)
        self.down = nn.Parameter(weight.new_empty(rank, inputs))
        self.up = nn.Parameter(weight.new_zeros(outputs, rank))
        nn.init.kaiming_uniform_(self.down, a=math.sqrt(5))

    def forward(self) -> Float[Tensor, "outputs inputs"]:
        """W = W0 + scale B A, in the precision of the weights."""
        with torch.autocast(self.start.device.type, enabled=False):
            return torch.addmm(self.start, self.up, self.down, alpha=self.scale)


class Adapters(nn.Module):
    """The updates of all linear layers in parts of networks; these parts are frozen.

    Args:
        networks: With the weights that a run starts from.
        config: With rank 0 there are no updates, and nothing is frozen.
        trained: The modules that are trained.

    Raises:
        InputError: There is no such part, or no linear layer in it.
    """

    def __init__(self, networks: Networks, config: LoraConfig, trained: list[str]) -> None:
        super().__init__()
        self.names: list[str] = []
        # All are found before any is frozen: parts may lie in each other.
        found = {part: _trained_weights(networks, part) for part in config.parts(trained)}
        for part, names in found.items():
            if not names:
                raise InputError(
                    f"train.lora.modules: there is no linear layer to adapt in {part!r}; name "
                    "another part, as gpt.transformer or sovits.decoder"
                )
            self.names += [name for name in names if name not in self.names]
            networks.get_submodule(part).requires_grad_(False)
        scale = (config.alpha or config.rank) / max(config.rank, 1)
        self.layers = nn.ModuleList(
            Adapter(networks.get_parameter(name), config.rank, scale) for name in self.names
        )

    def of(self, module: str) -> list[nn.Module]:
        """The updates of a module's layers."""
        named = zip(self.names, self.layers, strict=True)
        return [adapter for name, adapter in named if name.startswith(f"{module}.")]

    def weights(self) -> dict[str, Tensor]:
        """The weights of all adapted layers, by their names in the networks."""
        return {name: each() for name, each in zip(self.names, self.layers, strict=True)}

    def call(self, module: nn.Module, networks: str, *inputs: object) -> object:
        """Runs a module with the weights in place of those of its networks, which it so calls."""
        weights = {f"{networks}.{name}": weight for name, weight in self.weights().items()}
        return functional_call(module, weights, inputs, tie_weights=False)

    def trained_size(self, networks: Networks) -> int:
        """Number of trained parameters: those of the networks, and of their updates."""
        both = (networks, self)
        return sum(p.numel() for each in both for p in each.parameters() if p.requires_grad)

    @torch.no_grad()
    def merge(self, networks: Networks) -> None:
        """Writes the weights into the networks."""
        for name, weight in self.weights().items():
            networks.get_parameter(name).copy_(weight)


def _trained_weights(networks: Networks, part: str) -> list[str]:
    """Full names of the linear layers' weights that are trained at or below a dotted name."""
    return [
        f"{name}.weight"
        for name, layer in networks.named_modules()
        if f"{name}.".startswith(f"{part}.")
        and isinstance(layer, nn.Linear)
        and layer.weight.requires_grad
    ]
