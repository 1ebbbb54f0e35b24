"""What the speaker encoder makes of many clips: dimensions in use, and how voices lie apart."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float
from numpy import ndarray
from torch import Tensor

from losses.divergence import gaussian_kl
from timbre.networks import Networks

ACTIVE_VARIANCE = 0.01
"""Variance over the clips above which a dimension's mean is in use (arXiv 1509.00519, app. C)."""


@dataclass(frozen=True)
class SpeakerSpace:
    """The speaker encoder's answers to some clips, whole clips at the posterior mean."""

    mean: Float[Tensor, "clips channels"]
    """Mean of the Gaussian before the flows."""
    log_std: Float[Tensor, "clips channels"]
    """Log standard deviation of that Gaussian, nats."""
    z_spk: Float[Tensor, "clips channels"]
    """The mean through the flows."""
    speakers: list[str]
    """Whose clip it is."""

    @property
    def kl_per_dimension(self) -> Float[Tensor, " channels"]:
        """KL of each dimension's Gaussian to N(0, 1), mean over the clips, nats.

        Before the flows: what these add is known only for all dimensions together.
        """
        return gaussian_kl(self.mean, self.log_std).mean(dim=0)

    @property
    def active_units(self) -> int:
        """Dimensions whose mean differs between clips."""
        return int((self.mean.var(dim=0) > ACTIVE_VARIANCE).sum())

    @property
    def cluster_score(self) -> float | None:
        """Mean silhouette of the clips by speaker, cosine distance: 1 apart, 0 mixed, < 0 wrong.

        None where there are not two speakers, one of them with two clips.
        """
        from sklearn.metrics import silhouette_score

        kinds = len(set(self.speakers))
        if kinds < 2 or kinds >= len(self.speakers):
            return None
        return float(silhouette_score(self.z_spk.numpy(), self.speakers, metric="cosine"))

    def flat(self) -> Float[ndarray, "clips 2"]:
        """Places of the clips on a map (t-SNE, cosine distance; always the same for the same)."""
        from sklearn.manifold import TSNE

        perplexity = min(15.0, (len(self.speakers) - 1) / 3)
        tsne = TSNE(
            perplexity=perplexity, metric="cosine", init="random", random_state=0, max_iter=500
        )
        return np.asarray(tsne.fit_transform(self.z_spk.numpy()))


@torch.inference_mode()
def speaker_space(
    networks: Networks, clips: Iterable[Tensor], speakers: Sequence[str]
) -> SpeakerSpace:
    """Encodes clips one by one.

    Args:
        networks: In evaluation mode.
        clips: Mels `[mels, frames]`, natural log; each as long as it is.
        speakers: Whose clip each is.
    """
    device = networks.alignment_prior.device
    encoder = networks.sovits.speaker_encoder
    parts: list[tuple[Tensor, ...]] = []
    for mel in clips:
        posterior = encoder(mel[None].to(device), torch.tensor([mel.shape[1]], device=device))
        answer = (posterior.mean, posterior.log_std, posterior.z_spk)
        parts.append(tuple(each.float().cpu() for each in answer))
    mean, log_std, z_spk = (torch.cat(each) for each in zip(*parts, strict=True))
    return SpeakerSpace(mean, log_std, z_spk, list(speakers))
