"""Step 7: which clips are held out for validation."""

from collections.abc import Sequence

from data.preparation.cache import fingerprint
from data.preparation.config import ValidationSplitConfig

_FEWEST_CLIPS, _FEW_CLIPS = 5, 10
_SHORTEST_SECONDS, _LONGEST_SECONDS = 1.5, 12.0


def held_out(
    texts: Sequence[str],
    seconds: Sequence[float],
    config: ValidationSplitConfig,
    seed: int,
) -> list[bool]:
    """Choose validation clips by what is said in them.

    The order of the clips does not matter, and a clip that is added or removed moves at most one
    other. Clips with the same words are held out together, so that no validation text was trained
    on; clips under 1.5 s and over 12 s are held out only if there are no others.

    Of fewer than ten clips one is held out, of fewer than five none.

    Args:
        texts: text of each clip.
        seconds: length of each clip.
        config: how many.
        seed: of the choice.
    """
    if len(texts) < _FEWEST_CLIPS:
        return [False] * len(texts)
    least = config.least if len(texts) >= _FEW_CLIPS else min(config.least, 1)
    wanted = min(max(round(config.share * len(texts)), least), config.most)
    keys = ["".join(filter(str.isalnum, text.casefold())) for text in texts]
    counts: dict[str, int] = {}
    fits: dict[str, bool] = {}
    for key, length in zip(keys, seconds, strict=True):
        counts[key] = counts.get(key, 0) + 1
        fits[key] = fits.get(key, True) and _SHORTEST_SECONDS <= length <= _LONGEST_SECONDS
    ranked = sorted(
        counts, key=lambda key: (not fits[key], counts[key] > 1, fingerprint(seed, key))
    )
    chosen: set[str] = set()
    total = 0
    for key in ranked:
        if total >= wanted:
            break
        if total + counts[key] <= max(wanted, len(texts) // 2):
            chosen.add(key)
            total += counts[key]
    return [key in chosen for key in keys]
