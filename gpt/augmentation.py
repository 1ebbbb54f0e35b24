"""Augmentation of the tokenizer's input: other vocal tracts, missing bands, missing moments."""

import torch
from jaxtyping import Float, Int
from torch import Tensor

from data.masks import length_mask

WARPED_SHARE = 0.7
STRETCH = 0.1
SHIFT_BANDS = 3.0
MASKED_SHARE = 0.5
MAX_MASKED_BANDS = 10
MAX_MASKED_FRAMES = 12


def augment(
    mel: Float[Tensor, "batch mels frames"],
    lengths: Int[Tensor, " batch"],
    generator: torch.Generator,
) -> Float[Tensor, "batch mels frames"]:
    """Warp the mel axis of most clips and mask bands and frames of half of them.

    The warp (stretch by up to 10 %, shift by up to 3 bands) stands in for voices that are not in
    the corpus. Masks (up to 10 bands, up to 12 frames = 0.13 s at 93.75 Hz) are SpecAugment's,
    arXiv 1904.08779, filled with the clip's mean of each band; padding changes none of it. The same
    `generator` state gives the same result on every device.
    """

    def uniform(low: float, high: float) -> Float[Tensor, "batch 1 1"]:
        draw = torch.rand((len(mel), 1, 1), generator=generator, device=generator.device)
        return draw.to(mel.device) * (high - low) + low

    def window(
        size: int, within: Int[Tensor, "#batch 1 1"], longest: int
    ) -> Float[Tensor, "batch 1 size"]:
        width = uniform(0.0, longest + 1.0).floor() * (uniform(0.0, 1.0) < MASKED_SHARE)
        start = (uniform(0.0, 1.0) * (within - width).clamp_min(0)).floor()
        positions = torch.arange(size, device=mel.device)
        inside = (positions >= start) & (positions < start + width) & (positions < within)
        return inside.float()

    _, mels, frames = mel.shape
    warped_items = (uniform(0.0, 1.0) < WARPED_SHARE).float()
    stretch = 1 + uniform(-STRETCH, STRETCH) * warped_items
    shift = uniform(-SHIFT_BANDS, SHIFT_BANDS) * warped_items
    source = torch.arange(mels, device=mel.device)[None, :, None] * stretch + shift
    source = source.clamp(0, mels - 1)
    lower = source.long()
    upper = (lower + 1).clamp_max(mels - 1)
    low_bands = mel.gather(1, lower.expand(-1, -1, frames))
    high_bands = mel.gather(1, upper.expand(-1, -1, frames))
    warped = torch.lerp(low_bands, high_bands, source - lower)

    valid = length_mask(lengths, frames)[:, None]
    own_frames, all_bands = lengths[:, None, None], torch.full_like(lengths[:1, None, None], mels)
    band_mean = (warped * valid).sum(2, keepdim=True) / own_frames.clamp_min(1)
    masked_bands = window(mels, all_bands, MAX_MASKED_BANDS).mT
    masked = torch.maximum(masked_bands, window(frames, own_frames, MAX_MASKED_FRAMES))
    return torch.lerp(warped, band_mean, masked)
