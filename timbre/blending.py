"""A way back to the start: the weights that are judged and shipped hold a share of the first ones.

Wortsman et al., Robust fine-tuning of zero-shot models (WiSE-FT), arXiv 2109.01903: weights between
those before and after a fine-tune keep nearly all of what was learned, and get back most of what
was forgotten. Here: the voice and the words. The speaker encoder, which knows no words, stays as it
was trained: mixed as well, it costs similarity (docs/base-model.md).
"""

from __future__ import annotations

from collections.abc import Collection, Iterator
from contextlib import contextmanager

import torch

from timbre.networks import Networks

_NEVER = "sovits.speaker_encoder."


class Blend:
    """Mixes networks with what they were at the start.

    Args:
        networks: As they are at the start; their trained modules are copied.
        share: Of the start; 0 changes nothing, and copies nothing.
        modules: Those that are trained.
        known: Names of the tensors that a bundle gave; what starts from nothing has nothing to
            go back to.
    """

    def __init__(
        self, networks: Networks, share: float, modules: list[str], known: Collection[str]
    ) -> None:
        prefixes = tuple(f"{name}." for name in modules)
        self.share = share
        self._start = {
            name: tensor.detach().clone()
            for name, tensor in networks.state_dict().items()
            if share
            and name in known
            and name.startswith(prefixes)
            and not name.startswith(_NEVER)
            and tensor.is_floating_point()
        }

    @torch.no_grad()
    def apply(self, networks: Networks) -> None:
        """Mixes in place."""
        state = networks.state_dict()
        for name, start in self._start.items():
            state[name].lerp_(start.to(state[name]), self.share)

    @contextmanager
    def applied(self, networks: Networks) -> Iterator[None]:
        """Networks that are mixed for as long as the context lasts."""
        state = networks.state_dict()
        own = {name: state[name].clone() for name in self._start}
        self.apply(networks)
        try:
            yield
        finally:
            with torch.no_grad():
                for name, tensor in own.items():
                    state[name].copy_(tensor)
