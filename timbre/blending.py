"""What is shipped: what knows words goes some of the way back, what colours the voice further.

All on the line from the weights that a run began with to those that it trained. Wortsman et al.,
Robust fine-tuning of zero-shot models (WiSE-FT), arXiv 2109.01903: weights between those before and
after a fine-tune keep nearly all of what was learned, and get back most of what was forgotten.
Ilharco et al., Editing models with task arithmetic, arXiv 2212.04089: beyond the trained weights
there is more of what was learned.

Here: the words, and the voice. The decoder's layers at frame rate, the last before the mel, hardly
know words; further than trained they come closer to the voice, above all in a language that it was
not trained in. The speaker encoder stays as it was trained: mixed as well, it costs similarity
(docs/base-model.md).
"""

from __future__ import annotations

from collections.abc import Collection, Iterator
from contextlib import contextmanager

import torch

from sovits.regression import Trunk
from timbre.config import TrainConfig
from timbre.networks import Networks

_SPEAKER = "sovits.speaker_encoder."
_TIMBRE = tuple(f"sovits.decoder.trunk.{name}." for name in Trunk.frame_rate_parts)


class Blend:
    """Mixes networks with what they were at the start.

    Args:
        networks: As they are at the start; what is to be mixed is copied.
        train: Says what is trained, and how far along the line it goes.
        known: Names of the tensors that a bundle gave; what starts from nothing has nothing to
            go back to.
    """

    def __init__(self, networks: Networks, train: TrainConfig, known: Collection[str]) -> None:
        modules = tuple(f"{name}." for name in train.modules)
        frozen = tuple(f"{part}." for part in train.frozen)
        self._start = {
            name: (tensor.detach().clone(), share)
            for name, tensor in networks.state_dict().items()
            if name in known
            and name.startswith(modules)
            and not name.startswith(frozen)
            and tensor.is_floating_point()
            and (share := _share_of_start(name, train))
        }

    @torch.no_grad()
    def apply(self, networks: Networks) -> None:
        """Mixes in place."""
        state = networks.state_dict()
        for name, (start, share) in self._start.items():
            state[name].lerp_(start.to(state[name]), share)

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


def _share_of_start(name: str, train: TrainConfig) -> float:
    """Of one tensor: from 0, as it was trained, to below 1; less than 0 beyond that."""
    if name.startswith(_SPEAKER):
        return 0.0
    return 1.0 - train.timbre_gain if name.startswith(_TIMBRE) else train.start_share
