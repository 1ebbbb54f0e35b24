"""Forced alignment: against brute force, totals, order, priors, impossible items."""

import itertools

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from gpt.alignment import expected_frames, forced_align, log_prior, token_durations


def random_case(seed: int, batch: int, frames: int, phonemes: int, symbols: int = 7):
    """Log-probabilities and phonemes with random lengths."""
    generator = torch.Generator().manual_seed(seed)
    log_probs = (torch.randn(batch, frames, symbols, generator=generator) * 2).log_softmax(-1)
    spoken = torch.randint(1, symbols, (batch, phonemes), generator=generator)
    phoneme_lengths = torch.randint(1, phonemes + 1, (batch,), generator=generator)
    ctc_lengths = torch.randint(1, frames + 1, (batch,), generator=generator)
    prior = torch.randn(symbols, generator=generator).log_softmax(-1)
    return log_probs, ctc_lengths, spoken, phoneme_lengths, prior


def brute_force(log_probs, spoken, prior, prior_scale):
    """Best segmentation of one item by trying all of them."""
    frames, count = len(log_probs), len(spoken)
    probs = log_probs.exp().clone()
    probs[:, 0] = 0
    emissions = (probs / probs.sum(1, keepdim=True)).log() - prior_scale * prior
    best, best_score = None, -float("inf")
    for cuts in itertools.combinations(range(1, frames), count - 1):
        borders = (0, *cuts, frames)
        states = [p for p in range(count) for _ in range(borders[p], borders[p + 1])]
        score = sum(float(emissions[t, spoken[s]]) for t, s in enumerate(states))
        if score > best_score:
            best, best_score = states, score
    return best, best_score / frames


@pytest.mark.parametrize("prior_scale", [0.0, 0.7])
def test_equals_brute_force(prior_scale: float):
    log_probs, ctc_lengths, spoken, phoneme_lengths, prior = random_case(0, 12, 8, 4)
    result = forced_align(
        log_probs, ctc_lengths, spoken, phoneme_lengths, prior, prior_scale=prior_scale
    )
    assert result.aligned.any()
    assert not result.aligned.all()
    for row in range(12):
        frames, count = int(ctc_lengths[row]), int(phoneme_lengths[row])
        assert result.aligned[row] == (frames >= count)
        if frames < count:
            assert (result.states[row] == -1).all()
            assert result.score[row] == -torch.inf
            continue
        states, score = brute_force(
            log_probs[row, :frames], spoken[row, :count], prior, prior_scale
        )
        assert result.states[row, :frames].tolist() == states
        assert float(result.score[row]) == pytest.approx(score, abs=1e-4)


@settings(max_examples=40, deadline=None, derandomize=True)
@given(st.integers(0, 10_000), st.integers(1, 5), st.integers(1, 40), st.integers(1, 12))
def test_paths_are_monotonic_complete_and_durations_sum(seed, batch, frames, phonemes):
    log_probs, ctc_lengths, spoken, phoneme_lengths, prior = random_case(
        seed, batch, frames, phonemes
    )
    result = forced_align(log_probs, ctc_lengths, spoken, phoneme_lengths, prior)
    durations = token_durations(result, ctc_lengths, spoken)
    for row in range(batch):
        length, count = int(ctc_lengths[row]), int(phoneme_lengths[row])
        if not result.aligned[row]:
            assert durations[row].sum() == 0
            continue
        states = result.states[row, :length]
        assert states[0] == 0
        assert states[-1] == count - 1
        assert set(states.diff().tolist()) <= {0, 1}
        assert durations[row].sum() == (length + 1) // 2
        assert (durations[row, count:] == 0).all()


def test_a_batch_aligns_like_its_items():
    log_probs, _, spoken, _, prior = random_case(1, 3, 30, 6)
    frames, counts = torch.tensor([30, 17, 25]), torch.tensor([6, 4, 1])
    batch = forced_align(log_probs, frames, spoken, counts, prior)
    for row in range(3):
        alone = forced_align(
            log_probs[row : row + 1, : frames[row]],
            frames[row : row + 1],
            spoken[row : row + 1, : counts[row]],
            counts[row : row + 1],
            prior,
        )
        assert torch.equal(batch.states[row, : frames[row]], alone.states[0])


def test_tokens_take_the_phoneme_of_their_first_frame():
    log_probs = torch.full((1, 7, 5), -20.0)
    path = [2, 3, 3, 3, 3, 4, 4]
    log_probs[0, torch.arange(7), torch.tensor(path)] = 0.0
    spoken = torch.tensor([[2, 3, 4]])
    lengths = torch.tensor([7])
    result = forced_align(log_probs, lengths, spoken, torch.tensor([3]), torch.zeros(5))
    assert result.states[0].tolist() == [0, 1, 1, 1, 1, 2, 2]
    # Frames 0, 2, 4, 6 carry the tokens.
    assert token_durations(result, lengths, spoken).tolist() == [[1, 2, 1]]


def test_blank_does_not_decide():
    log_probs, ctc_lengths, spoken, phoneme_lengths, prior = random_case(2, 4, 20, 5)
    peaky = log_probs.clone()
    peaky[..., 0] += 15.0 * torch.rand(4, 20)
    ours = forced_align(log_probs, ctc_lengths, spoken, phoneme_lengths, prior)
    theirs = forced_align(peaky.log_softmax(-1), ctc_lengths, spoken, phoneme_lengths, prior)
    assert torch.equal(ours.states, theirs.states)


def test_prior_counts_valid_frames_without_blank():
    probs = torch.tensor([[[0.5, 0.5, 0.0], [0.8, 0.05, 0.15], [0.0, 0.0, 1.0]]])
    counts = expected_frames(probs.log(), torch.tensor([2]))
    torch.testing.assert_close(counts, torch.tensor([0.0, 1.25, 0.75]))
    torch.testing.assert_close(log_prior(counts), torch.tensor([1e-4, 1.25 / 2, 0.75 / 2]).log())
