"""How phonemes and tokens are laid out in the sequence that the language model reads.

Interleaved (ELLA-V, arXiv 2401.07333): each phoneme's slot is followed by its own tokens, and the
model ends each phoneme itself, so that no word can be skipped or repeated:

    input    /h/  t1  t2  /e/  /y/  t3
    target   t1   t2  END END  t3   END

Plain (VALL-E, arXiv 2301.02111): all phonemes, a start mark, all tokens:

    input    /h/  /e/  /y/  START  t1  t2  t3
    target   -    -    -    t1     t2  t3  END
"""

from dataclasses import dataclass

import torch
from jaxtyping import Int
from torch import Tensor

from data.masks import length_mask

IGNORE = -100


@dataclass
class Sequence:
    """Index tensors of one padded batch; positions do not count the speaker prefix."""

    inputs: Int[Tensor, "batch positions"]
    """Token id, or `codes` for a phoneme's slot, or `codes + 1` for the start mark."""
    owners: Int[Tensor, "batch positions"]
    """Phoneme that the position belongs to; the padded number of phonemes where there is none."""
    counts: Int[Tensor, "batch positions"]
    """Interleaved: which token of its phoneme it is, from 1; 0 elsewhere."""
    targets: Int[Tensor, "batch positions"]
    """Next token, or `codes` for the end (of the phoneme, of the utterance), or IGNORE."""
    token_positions: Int[Tensor, "batch tokens"]
    """Position of each token; past an item's last token, positions that hold no token."""


def slot_id(codes: int) -> int:
    """Input id of a phoneme's slot."""
    return codes


def start_id(codes: int) -> int:
    """Input id of the start mark of the plain layout."""
    return codes + 1


def interleave(
    tokens: Int[Tensor, "batch tokens"],
    token_lengths: Int[Tensor, " batch"],
    durations: Int[Tensor, "batch phonemes"],
    phoneme_lengths: Int[Tensor, " batch"],
    codes: int,
) -> Sequence:
    """Lay out each phoneme's slot followed by its tokens.

    Args:
        tokens: token ids below `codes`.
        token_lengths: valid tokens.
        durations: tokens of each phoneme; sums to `token_lengths`.
        phoneme_lengths: valid phonemes.
        codes: number of different tokens.

    Raises:
        ValueError: durations do not sum to the token lengths.
    """
    durations = durations * length_mask(phoneme_lengths, durations.shape[1])
    ends = durations.cumsum(1)
    if not torch.equal(ends[:, -1], token_lengths):
        raise ValueError(
            f"durations sum to {ends[:, -1].tolist()} but there are {token_lengths.tolist()}"
            " tokens: align these items again"
        )
    index = torch.arange(tokens.shape[1], device=tokens.device).expand(len(tokens), -1)
    owners = torch.searchsorted(ends, index.contiguous(), right=True)
    owners = owners.clamp_max(durations.shape[1] - 1)
    slots = torch.arange(durations.shape[1], device=tokens.device).expand(len(tokens), -1)
    lengths = phoneme_lengths + token_lengths
    size = int(lengths.max())
    return _assemble(
        tokens=tokens,
        token_positions=(index + owners + 1).where(index < token_lengths[:, None], size),
        token_owners=owners,
        token_counts=index - (ends - durations).gather(1, owners) + 1,
        slots=slots,
        slot_positions=(slots + ends - durations).where(slots < phoneme_lengths[:, None], size),
        lengths=lengths,
        size=size,
        codes=codes,
    )


def plain(
    tokens: Int[Tensor, "batch tokens"],
    token_lengths: Int[Tensor, " batch"],
    phonemes: int,
    phoneme_lengths: Int[Tensor, " batch"],
    codes: int,
) -> Sequence:
    """Lay out all phonemes (`phonemes` is their padded number), a start mark, all tokens."""
    index = torch.arange(tokens.shape[1], device=tokens.device).expand(len(tokens), -1)
    slots = torch.arange(phonemes, device=tokens.device).expand(len(tokens), -1)
    lengths = phoneme_lengths + 1 + token_lengths
    size = int(lengths.max())
    starts = phoneme_lengths[:, None]
    sequence = _assemble(
        tokens=tokens,
        token_positions=(starts + 1 + index).where(index < token_lengths[:, None], size),
        token_owners=torch.zeros_like(index),
        token_counts=torch.zeros_like(index),
        slots=slots,
        slot_positions=slots.where(slots < starts, size),
        lengths=lengths,
        size=size,
        codes=codes,
    )
    positions = torch.arange(size, device=tokens.device)
    sequence.inputs.scatter_(1, starts, start_id(codes))
    sequence.owners.masked_fill_(positions >= starts, phonemes)
    sequence.targets.masked_fill_(positions < starts, IGNORE)
    return sequence


def first_slot(phonemes: Int[Tensor, "batch phonemes"], codes: int) -> Sequence:
    """The interleaved sequence before the first choice: the slot of the first phoneme."""
    zero = torch.zeros_like(phonemes[:, :1])
    return Sequence(
        inputs=torch.full_like(zero, slot_id(codes)),
        owners=zero,
        counts=zero,
        targets=torch.full_like(zero, IGNORE),
        token_positions=zero[:, :0],
    )


def _assemble(
    tokens: Int[Tensor, "batch tokens"],
    token_positions: Int[Tensor, "batch tokens"],
    token_owners: Int[Tensor, "batch tokens"],
    token_counts: Int[Tensor, "batch tokens"],
    slots: Int[Tensor, "batch phonemes"],
    slot_positions: Int[Tensor, "batch phonemes"],
    lengths: Int[Tensor, " batch"],
    size: int,
    codes: int,
) -> Sequence:
    """Scatter tokens and slots to their positions; padding goes to the extra position `size`."""

    def blank(value: int) -> Int[Tensor, "batch positions"]:
        return torch.full((len(tokens), size + 1), value, device=tokens.device)

    targets = blank(codes).scatter_(1, token_positions - 1, tokens)
    # Padded tokens wrote their target to position size - 1: an END there was overwritten.
    last = (lengths - 1)[:, None]
    targets.scatter_(1, last, codes)
    targets[:, :size].masked_fill_(~length_mask(lengths, size), IGNORE)
    owners = blank(slots.shape[1]).scatter_(1, token_positions, token_owners)
    owners.scatter_(1, slot_positions, slots)
    return Sequence(
        inputs=blank(slot_id(codes)).scatter_(1, token_positions, tokens)[:, :size],
        owners=owners[:, :size],
        counts=blank(0).scatter_(1, token_positions, token_counts)[:, :size],
        targets=targets[:, :size],
        token_positions=token_positions.clamp_max(size - 1),
    )
