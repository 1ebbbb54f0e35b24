"""The built-in judge of intelligibility: greedy CTC decoding and the phoneme error rate."""

from collections.abc import Sequence

from jaxtyping import Float, Int
from rapidfuzz.distance import Levenshtein
from torch import Tensor

from data.text.symbols import BLANK_ID, SILENCE_ID


def ctc_greedy(
    logits: Float[Tensor, "batch ctc_frames symbols"], lengths: Int[Tensor, " batch"]
) -> list[list[int]]:
    """Phonemes of each item: best symbol of every frame, repeats merged, blanks removed."""
    best = logits.argmax(-1)
    kept = best != BLANK_ID
    kept[:, 1:] &= best[:, 1:] != best[:, :-1]
    rows = zip(best.tolist(), kept.tolist(), lengths.tolist(), strict=True)
    return [
        [symbol for symbol, keep in zip(symbols[:length], keeps[:length], strict=True) if keep]
        for symbols, keeps, length in rows
    ]


def phoneme_error_rate(hypothesis: Sequence[int], reference: Sequence[int]) -> float:
    """Edit distance over the length of the reference, pauses left out of both.

    May exceed 1. For a corpus, weigh each item by its number of reference phonemes.

    Raises:
        ValueError: the reference holds no phoneme.
    """
    heard = [symbol for symbol in hypothesis if symbol != SILENCE_ID]
    expected = [symbol for symbol in reference if symbol != SILENCE_ID]
    if not expected:
        raise ValueError("the reference holds no phoneme besides pauses: leave this item out")
    return Levenshtein.distance(heard, expected) / len(expected)


def phoneme_errors(
    logits: Float[Tensor, "batch ctc_frames symbols"],
    lengths: Int[Tensor, " batch"],
    references: Sequence[Sequence[int]],
) -> list[float]:
    """Phoneme error rate of each item as the CTC head hears it; 0 where only pauses were to say."""
    return [
        phoneme_error_rate(heard, expected) if any(s != SILENCE_ID for s in expected) else 0.0
        for heard, expected in zip(ctc_greedy(logits, lengths), references, strict=True)
    ]
