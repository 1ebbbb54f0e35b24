"""Batches: padding, moving, and the order in which items come."""

import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from data.batch import Example, collate
from data.batches import BatchOrder, ReplayOrder, fixed_batches, shard
from data.mel import AudioConfig

CONFIG = AudioConfig(mel_channels=5)


def example(frames: int, phonemes: int, reference_frames: int = 6, tokens: bool = True) -> Example:
    generator = torch.Generator().manual_seed(frames)
    durations = torch.zeros(phonemes, dtype=torch.int64)
    durations[0] = -(-frames // 4)
    return Example(
        id=f"u{frames}",
        audio=torch.rand(frames * CONFIG.hop_samples, generator=generator),
        mel=torch.randn(5, frames, generator=generator),
        f0=torch.full((frames,), 100.0),
        phonemes=torch.arange(1, phonemes + 1),
        marks=torch.ones(phonemes, 4, dtype=torch.int64),
        tokens=torch.arange(-(-frames // 4)) if tokens else None,
        durations=durations if tokens else None,
        reference=torch.randn(5, reference_frames, generator=generator),
        speaker=frames % 3,
    )


def test_padding_surrounds_unchanged_items():
    items = [example(10, 4, 7), example(13, 9, 3)]
    batch = collate(items, CONFIG)

    assert len(batch) == 2
    assert batch.mel.shape == (2, 5, 16)
    assert batch.audio.shape == (2, 16 * 256)
    assert batch.tokens.shape == (2, 4)
    assert batch.reference.shape == (2, 5, 7)
    assert batch.ids == ["u10", "u13"]
    assert batch.speaker.tolist() == [1, 1]
    floor = math.log(CONFIG.floor)
    for row, item in enumerate(items):
        frames, phonemes = item.mel.shape[1], len(item.phonemes)
        tokens, reference = len(item.tokens), item.reference.shape[1]
        lengths = (batch.mel_lengths, batch.phoneme_lengths, batch.token_lengths)
        assert [length[row].item() for length in lengths] == [frames, phonemes, tokens]
        assert batch.reference_lengths[row] == reference
        assert torch.equal(batch.mel[row, :, :frames], item.mel)
        assert (batch.mel[row, :, frames:] == floor).all()
        assert torch.equal(batch.reference[row, :, :reference], item.reference)
        assert (batch.reference[row, :, reference:] == floor).all()
        assert torch.equal(batch.audio[row, : frames * 256], item.audio)
        assert not batch.audio[row, frames * 256 :].any()
        assert torch.equal(batch.f0[row, :frames], item.f0)
        assert not batch.f0[row, frames:].any()
        for padded, values, size in (
            (batch.phonemes, item.phonemes, phonemes),
            (batch.marks, item.marks, phonemes),
            (batch.durations, item.durations, phonemes),
            (batch.tokens, item.tokens, tokens),
        ):
            assert torch.equal(padded[row, :size], values)
            assert not padded[row, size:].any()
    assert torch.equal(batch.durations.sum(1), batch.token_lengths)


def test_tokens_are_optional_for_all_together():
    batch = collate([example(8, 3, tokens=False), example(9, 3, tokens=False)], CONFIG)
    assert (batch.tokens, batch.token_lengths, batch.durations) == (None, None, None)
    with pytest.raises(ValueError, match="1 of 2 examples have tokens"):
        collate([example(8, 3), example(9, 3, tokens=False)], CONFIG)
    with pytest.raises(ValueError, match="at least one example"):
        collate([], CONFIG)


def test_to_moves_every_tensor():
    moved = collate([example(8, 3), example(9, 3)], CONFIG).to("meta")
    tensors = [value for value in vars(moved).values() if isinstance(value, torch.Tensor)]
    assert len(tensors) == 13
    assert all(tensor.device.type == "meta" for tensor in tensors)
    assert moved.ids == ["u8", "u9"]


@settings(max_examples=60, deadline=None)
@given(
    lengths=st.lists(st.integers(1, 900), min_size=1, max_size=60),
    max_frames=st.integers(1, 3000),
    max_items=st.integers(1, 20),
    jitter=st.sampled_from([0.0, 0.1, 1.0]),
)
def test_every_epoch_holds_every_item_once_within_the_limits(
    lengths, max_frames, max_items, jitter
):
    order = BatchOrder(lengths, max_frames, max_items, seed=3, jitter=jitter)
    for epoch in (0, 5):
        first = epoch * order.batches_per_epoch
        batches = [order.at(first + i) for i in range(order.batches_per_epoch)]
        assert sorted(item for batch in batches for item in batch) == list(range(len(lengths)))
        for batch in batches:
            longest = max(lengths[item] for item in batch)
            assert len(batch) == 1 or len(batch) * longest <= max_frames
            assert 1 <= len(batch) <= max_items


def test_order_is_a_function_of_seed_and_update():
    lengths = np.random.default_rng(0).integers(50, 900, 200)
    order = BatchOrder(lengths, 4000, 8, seed=1)
    straight = [order.at(update) for update in range(150)]
    fresh = BatchOrder(lengths, 4000, 8, seed=1)
    assert [fresh.at(update) for update in reversed(range(150))] == straight[::-1]
    assert BatchOrder(lengths, 4000, 8, seed=2).at(0) != straight[0]
    epoch = order.batches_per_epoch
    groups = [{frozenset(order.at(k * epoch + i)) for i in range(epoch)} for k in range(2)]
    assert len(groups[0] & groups[1]) < epoch / 2  # jitter: other batches, not just another order


def test_batches_are_of_similar_length_and_even_size():
    lengths = np.random.default_rng(0).integers(50, 900, 2000)
    order = BatchOrder(lengths, 6000, 16, seed=1)
    batches = [order.at(update) for update in range(order.batches_per_epoch)]
    padded = sum(len(batch) * lengths[batch].max() for batch in batches)
    assert lengths.sum() / padded > 0.85
    even = BatchOrder([100] * 17, 10_000, 16, seed=1)
    assert sorted(len(even.at(update)) for update in range(2)) == [8, 9]


@pytest.mark.parametrize(
    "wrong", [{"lengths": []}, {"max_frames": 0}, {"max_items": 0}, {"jitter": 1.5}]
)
def test_impossible_orders_are_refused(wrong):
    values = {"lengths": [1, 2], "max_frames": 10, "max_items": 2, "seed": 0, "jitter": 0.1}
    with pytest.raises(ValueError, match="at least"):
        BatchOrder(**{**values, **wrong})


def test_replay_has_its_share_and_adds_no_padding():
    rng = np.random.default_rng(0)
    primary, replay = rng.integers(100, 400, 40), rng.integers(50, 900, 500)
    order = ReplayOrder(primary, replay, 0.3, 6000, 16, seed=1)
    batches = [order.at(update) for update in range(300)]
    assert ReplayOrder(primary, replay, 0.3, 6000, 16, seed=1).at(123) == batches[123]
    own = [[item for item in batch if item < 40] for batch in batches]
    old = [[item - 40 for item in batch if item >= 40] for batch in batches]
    share = sum(map(len, old)) / sum(map(len, batches))
    assert share == pytest.approx(0.3, abs=0.01)
    assert len({item for items in old for item in items}) > 100
    for mine, kept in zip(own, old, strict=True):
        assert mine
        assert len(mine) + len(kept) <= 16
        assert len(set(kept)) == len(kept)
        assert all(replay[item] <= primary[mine].max() for item in kept)


def test_replay_of_longer_items_takes_the_shortest():
    order = ReplayOrder([10] * 8, [500, 100, 300, 200], 0.2, 10_000, 10, seed=1)
    assert {item for update in range(20) for item in order.at(update) if item >= 8} == {9, 11}
    with pytest.raises(ValueError, match="fraction"):
        ReplayOrder([10], [10], 1.0, 100, 10, seed=1)


def test_shards_are_a_batch():
    batch = [5, 3, 9, 7]
    assert shard(batch, 0, 1) == [(0, 5), (1, 3), (2, 9), (3, 7)]
    assert shard(batch, 0, 2) == [(0, 5), (2, 9)]
    assert shard(batch, 1, 2) == [(1, 3), (3, 7)]
    assert [shard(batch, rank, 3) for rank in range(3)] == [
        [(0, 5), (3, 7)],
        [(1, 3), (4, 7)],
        [(2, 9), (5, 7)],
    ]
    assert shard([5], 3, 4) == [(3, 5)]


def test_fixed_batches_keep_the_order():
    lengths = np.array([300, 100, 100, 100, 500, 20])
    assert fixed_batches(lengths, 600, 3) == [[0, 1], [2, 3], [4], [5]]
    assert fixed_batches(lengths, 10**6, 3) == [[0, 1, 2], [3, 4, 5]]
