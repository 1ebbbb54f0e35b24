"""Sequence layouts: a worked example each, and agreement with a plain loop."""

import pytest
import torch

from gpt.layout import IGNORE, interleave, plain

CODES = 9
SLOT, START, END = 9, 10, 9


def test_interleaved_example():
    # Phoneme 1 has no token; the second row is shorter in both and padded with nonsense.
    sequence = interleave(
        tokens=torch.tensor([[5, 6, 7], [8, 4, 4]]),
        token_lengths=torch.tensor([3, 1]),
        durations=torch.tensor([[2, 0, 1], [0, 1, 0]]),
        phoneme_lengths=torch.tensor([3, 2]),
        codes=CODES,
    )
    assert sequence.inputs[0].tolist() == [SLOT, 5, 6, SLOT, SLOT, 7]
    assert sequence.targets[0].tolist() == [5, 6, END, END, 7, END]
    assert sequence.owners[0].tolist() == [0, 0, 0, 1, 2, 2]
    assert sequence.counts[0].tolist() == [0, 1, 2, 0, 0, 1]
    assert sequence.token_positions[0].tolist() == [1, 2, 5]
    assert sequence.inputs[1, :3].tolist() == [SLOT, SLOT, 8]
    assert sequence.targets[1].tolist() == [END, 8, END, IGNORE, IGNORE, IGNORE]
    assert sequence.owners[1].tolist() == [0, 1, 1, 3, 3, 3]
    assert sequence.token_positions[1, 0] == 2


def test_plain_example():
    sequence = plain(
        tokens=torch.tensor([[5, 6], [8, 4]]),
        token_lengths=torch.tensor([2, 1]),
        phonemes=3,
        phoneme_lengths=torch.tensor([1, 3]),
        codes=CODES,
    )
    assert sequence.inputs[0, :4].tolist() == [SLOT, START, 5, 6]
    assert sequence.targets[0].tolist() == [IGNORE, 5, 6, END, IGNORE]
    assert sequence.owners[0].tolist() == [0, 3, 3, 3, 3]
    assert sequence.token_positions[0].tolist() == [2, 3]
    assert sequence.inputs[1].tolist() == [SLOT, SLOT, SLOT, START, 8]
    assert sequence.targets[1].tolist() == [IGNORE, IGNORE, IGNORE, 8, END]
    assert sequence.owners[1].tolist() == [0, 1, 2, 3, 3]


def test_interleaving_equals_a_loop():
    generator = torch.Generator().manual_seed(0)
    durations = torch.randint(0, 4, (6, 8), generator=generator)
    phoneme_lengths = torch.randint(1, 9, (6,), generator=generator)
    durations[torch.arange(8) >= phoneme_lengths[:, None]] = 0
    token_lengths = durations.sum(1)
    tokens = torch.randint(0, CODES, (6, int(token_lengths.max())), generator=generator)
    sequence = interleave(tokens, token_lengths, durations, phoneme_lengths, CODES)
    for row in range(6):
        inputs, targets, positions, index = [], [], [], 0
        for phoneme in range(int(phoneme_lengths[row])):
            inputs.append(SLOT)
            for _ in range(int(durations[row, phoneme])):
                targets.append(int(tokens[row, index]))
                positions.append(len(inputs))
                inputs.append(int(tokens[row, index]))
                index += 1
            targets.append(END)
        size = len(inputs)
        assert sequence.inputs[row, :size].tolist() == inputs
        assert sequence.targets[row, :size].tolist() == targets
        assert (sequence.targets[row, size:] == IGNORE).all()
        assert sequence.token_positions[row, :index].tolist() == positions


def test_wrong_durations_are_refused():
    one = torch.tensor([1])
    with pytest.raises(ValueError, match="align"):
        interleave(torch.tensor([[5, 6]]), one * 2, torch.tensor([[1]]), one, CODES)
