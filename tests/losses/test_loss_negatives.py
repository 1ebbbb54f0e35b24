import pytest
import torch

from losses.negatives import SpanParameters, damage_spans


def sequences():
    lengths = torch.tensor([30, 12, 2])
    tokens = torch.arange(1, 91).reshape(3, 30)
    return tokens.masked_fill(torch.arange(30)[None] >= lengths[:, None], 0), lengths


@pytest.mark.parametrize("seed", range(20))
def test_each_item_loses_or_repeats_exactly_one_span(seed):
    tokens, lengths = sequences()
    damaged = damage_spans(tokens, lengths, torch.Generator().manual_seed(seed))
    for original, length, new, new_length, source in zip(
        tokens,
        lengths.tolist(),
        damaged.tokens,
        damaged.lengths.tolist(),
        damaged.sources,
        strict=True,
    ):
        kept = source[:new_length]
        assert (new[:new_length] == original[kept]).all()
        assert (new[new_length:] == 0).all()
        assert kept.max() < length
        jumps = [
            (a, b) for a, b in zip(kept.tolist(), kept[1:].tolist(), strict=False) if b != a + 1
        ]
        edges = (kept[0] != 0) + (kept[-1] != length - 1)
        assert new_length != length
        assert len(jumps) + edges == 1
        if new_length > length:
            assert jumps[0][1] <= jumps[0][0]


@pytest.mark.parametrize(("share", "sign"), [(1.0, 1), (0.0, -1)])
def test_share_of_repeats_and_length_of_spans(share, sign):
    parameters = SpanParameters(min_tokens=3, max_tokens=5, repeat_share=share)
    tokens, lengths = torch.ones(50, 20, dtype=torch.long), torch.full((50,), 20)
    damaged = damage_spans(tokens, lengths, torch.Generator().manual_seed(0), parameters)
    changes = sign * (damaged.lengths - 20)
    assert changes.unique().tolist() == [3, 4, 5]


def test_the_same_seed_gives_the_same_negatives():
    tokens, lengths = sequences()
    first, second = (
        damage_spans(tokens, lengths, torch.Generator().manual_seed(7)) for _ in range(2)
    )
    assert (first.tokens == second.tokens).all()


def test_misuse_is_refused():
    with pytest.raises(ValueError, match="1 tokens"):
        damage_spans(torch.ones(1, 1).long(), torch.tensor([1]), torch.Generator())
    with pytest.raises(ValueError, match="min_tokens"):
        SpanParameters(min_tokens=5, max_tokens=4)
    with pytest.raises(ValueError, match="repeat_share"):
        SpanParameters(repeat_share=2.0)
