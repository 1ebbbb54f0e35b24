"""The semantic tokenizer: quantizer, padding, determinism, gradients, augmentation, judge."""

import itertools

import pytest
import torch

from gpt.augmentation import augment
from gpt.convnext import ConvNeXtBlock
from gpt.fsq import FSQ
from gpt.judge import ctc_greedy, phoneme_error_rate
from gpt.tokenizer import SemanticTokenizer, TokenizerConfig, normalise_utterance

LOG_FLOOR = -11.5129


@pytest.fixture
def tokenizer() -> SemanticTokenizer:
    torch.manual_seed(0)
    config = TokenizerConfig(symbols=12, mel_channels=20, width=24, expansion=2)
    return SemanticTokenizer(config).eval()


def mels(lengths: list[int], bands: int = 20) -> tuple[torch.Tensor, torch.Tensor]:
    """Random log-mels padded with the log floor."""
    generator = torch.Generator().manual_seed(1)
    mel = torch.randn(len(lengths), bands, max(lengths), generator=generator) * 2 - 4
    for row, length in enumerate(lengths):
        mel[row, :, length:] = LOG_FLOOR
    return mel, torch.tensor(lengths)


def test_fsq_reaches_every_code_and_only_those():
    fsq = FSQ((4, 3, 5))
    grid = torch.linspace(-3, 3, 25)
    values = torch.tensor(list(itertools.product(grid.tolist(), repeat=3)))[None]
    rounded, codes = fsq(values)
    assert sorted(set(codes.flatten().tolist())) == list(range(4 * 3 * 5))
    assert rounded.abs().max() <= 1


def test_fsq_digits_are_mixed_radix_with_the_first_channel_fastest():
    fsq = FSQ((8, 5, 5, 5))
    low, high = torch.full((1, 1, 4), -9.0), torch.full((1, 1, 4), 9.0)
    assert fsq(low)[1].item() == 0
    assert fsq(high)[1].item() == 999
    low[..., 0] = 9.0
    assert fsq(low)[1].item() == 7


def test_fsq_passes_the_gradient_of_the_bound():
    values = torch.tensor([[[0.3, -0.2]]], requires_grad=True)
    FSQ((5, 5))(values)[0].sum().backward()
    half_range = 2 * (1 + 1e-3)
    expected = (1 - torch.tanh(values.detach()) ** 2) * half_range / 2
    torch.testing.assert_close(values.grad, expected)


def test_fsq_gives_the_same_codes_under_bf16_autocast():
    values = torch.randn(2, 50, 4)
    fsq = FSQ((8, 5, 5, 5))
    with torch.autocast("cpu", torch.bfloat16):
        codes = fsq(values)[1]
    assert torch.equal(codes, fsq(values)[1])


def test_fsq_refuses_a_single_level():
    with pytest.raises(ValueError, match="at least 2 levels"):
        FSQ((8, 1))


def test_convnext_block_ignores_padding():
    torch.manual_seed(0)
    block = ConvNeXtBlock(8)
    x = torch.randn(1, 10, 8)
    padded = torch.cat((x, torch.full((1, 6, 8), 7.0)), 1)
    mask = torch.arange(16)[None] < 10
    alone = block(x, mask[:, :10])
    torch.testing.assert_close(block(padded, mask)[:, :10], alone, atol=1e-5, rtol=1e-5)


def test_lengths_and_shapes_follow_the_rates(tokenizer: SemanticTokenizer):
    mel, lengths = mels([37, 22, 41])
    outputs = tokenizer(mel, lengths)
    assert outputs.ctc_lengths.tolist() == [19, 11, 21]
    assert outputs.token_lengths.tolist() == [10, 6, 11]
    assert outputs.tokens.shape == (3, 11)
    assert outputs.ctc_logits.shape == outputs.ctc_logits_quantized.shape == (3, 22, 12)
    assert outputs.reconstruction.shape == mel.shape
    assert tokenizer.codes == 1000


@pytest.mark.parametrize("length", [21, 22, 23, 24])
def test_padding_changes_nothing(tokenizer: SemanticTokenizer, length: int):
    mel, lengths = mels([44, length])
    batch = tokenizer(mel, lengths)
    alone = tokenizer(mel[1:, :, :length], lengths[1:])
    tokens, ctc_frames = int(alone.token_lengths), int(alone.ctc_lengths)
    assert torch.equal(batch.tokens[1, :tokens], alone.tokens[0, :tokens])
    for name in ("ctc_logits", "ctc_logits_quantized"):
        ours, theirs = getattr(batch, name)[1, :ctc_frames], getattr(alone, name)[0, :ctc_frames]
        torch.testing.assert_close(ours, theirs, atol=1e-4, rtol=0)
    ours, theirs = batch.reconstruction[1, :, :length], alone.reconstruction[0]
    torch.testing.assert_close(ours, theirs, atol=1e-4, rtol=0)


def test_encode_agrees_with_forward_and_repeats_itself(tokenizer: SemanticTokenizer):
    mel, lengths = mels([40, 31])
    outputs = tokenizer(mel, lengths)
    first, second = tokenizer.encode(mel, lengths), tokenizer.encode(mel, lengths)
    for a, b in zip(first, second, strict=True):
        assert torch.equal(a, b)
    expected = (outputs.tokens, outputs.token_lengths, outputs.ctc_logits, outputs.ctc_lengths)
    for a, b in zip(first, expected, strict=True):
        torch.testing.assert_close(a, b)
    assert not first[2].requires_grad


def test_encode_ignores_gain(tokenizer: SemanticTokenizer):
    mel, lengths = mels([40])
    assert torch.equal(tokenizer.encode(mel, lengths)[0], tokenizer.encode(mel + 1.5, lengths)[0])


def test_runs_under_bf16_autocast(tokenizer: SemanticTokenizer):
    mel, lengths = mels([40, 31])
    exact = tokenizer(mel, lengths)
    with torch.autocast("cpu", torch.bfloat16):
        outputs = tokenizer(mel, lengths)
    assert outputs.ctc_logits.dtype == torch.bfloat16
    error = (outputs.ctc_logits.float() - exact.ctc_logits).abs().max()
    assert error < 0.1 * exact.ctc_logits.abs().max()
    assert torch.isfinite(outputs.reconstruction).all()


def test_every_parameter_learns_through_the_quantizer(tokenizer: SemanticTokenizer):
    mel, lengths = mels([40, 31])
    outputs = tokenizer(mel, lengths)
    (outputs.ctc_logits_quantized.square().sum() + outputs.reconstruction.sum()).backward()
    silent = {name for name, p in tokenizer.named_parameters() if p.grad is None}
    assert silent == {"ctc_head.weight", "ctc_head.bias"}
    assert tokenizer.stem.weight.grad.abs().sum() > 0


def test_tokens_read_the_augmented_clip_and_style_the_clean_one(tokenizer: SemanticTokenizer):
    mel, lengths = mels([40])
    other = mel.flip(1)
    mixed = tokenizer(mel, lengths, augmented=other)
    assert torch.equal(mixed.tokens, tokenizer(other, lengths).tokens)
    torch.testing.assert_close(
        mixed.ctc_logits_quantized, tokenizer(other, lengths).ctc_logits_quantized
    )
    assert not torch.allclose(mixed.reconstruction, tokenizer(other, lengths).reconstruction)


def test_normalisation_uses_the_louder_frames_only():
    speech, silence = torch.full((1, 5, 70), -2.0), torch.full((1, 5, 30), -9.0)
    mel = torch.cat((silence, speech), 2)
    normalised = normalise_utterance(mel, torch.ones(1, 100, dtype=torch.bool), 2.0)
    torch.testing.assert_close(normalised[..., 30:], torch.zeros(1, 5, 70))
    torch.testing.assert_close(normalised[..., :30], torch.full((1, 5, 30), -3.5))


def test_learns_a_tiny_corpus():
    torch.manual_seed(0)
    config = TokenizerConfig(symbols=6, mel_channels=20, width=32, encoder_layers=2)
    tokenizer = SemanticTokenizer(config)
    targets = torch.tensor([[2, 3, 4, 5, 2], [5, 4, 2, 3, 5]])
    sounds = torch.randn(6, 20) * 3 - 4
    mel = sounds[targets].repeat_interleave(8, 1).transpose(1, 2)
    lengths, target_lengths = torch.tensor([40, 40]), torch.tensor([5, 5])
    optimizer = torch.optim.AdamW(tokenizer.parameters(), lr=1e-2)
    for _ in range(80):
        outputs = tokenizer(mel, lengths)
        ctc = sum(
            torch.nn.functional.ctc_loss(
                logits.log_softmax(-1).transpose(0, 1), targets, outputs.ctc_lengths, target_lengths
            )
            for logits in (outputs.ctc_logits, outputs.ctc_logits_quantized)
        )
        loss = ctc + (outputs.reconstruction - mel).abs().mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    outputs = tokenizer.eval()(mel, lengths)
    assert ctc_greedy(outputs.ctc_logits, outputs.ctc_lengths) == targets.tolist()
    assert ctc_greedy(outputs.ctc_logits_quantized, outputs.ctc_lengths) == targets.tolist()


def test_augmentation_is_a_function_of_the_generator_and_changes_the_clip():
    mel, lengths = mels([60, 44, 52, 60])
    first = augment(mel, lengths, torch.Generator().manual_seed(3))
    again = augment(mel, lengths, torch.Generator().manual_seed(3))
    other = augment(mel, lengths, torch.Generator().manual_seed(4))
    assert torch.equal(first, again)
    assert not torch.equal(first, other)
    assert (first != mel).any(2).any(1).sum() >= 3
    assert first.min() >= mel.min()
    assert first.max() <= mel.max()


def test_augmentation_does_not_depend_on_the_padding():
    mel, lengths = mels([60, 44, 52, 9])
    padded = torch.nn.functional.pad(mel, (0, 300), value=LOG_FLOOR)
    for seed in range(4):
        short = augment(mel, lengths, torch.Generator().manual_seed(seed))
        long = augment(padded, lengths, torch.Generator().manual_seed(seed))
        for one, other, length in zip(short, long, lengths.tolist(), strict=True):
            torch.testing.assert_close(other[:, :length], one[:, :length])


def test_augmentation_of_a_smooth_spectrum_moves_it_by_few_bands():
    ramp = torch.arange(100.0)[None, :, None].expand(64, 100, 16)
    moved = augment(ramp, torch.full((64,), 16), torch.Generator().manual_seed(0)) - ramp
    typical = moved.median(2).values
    assert typical[:, 20].abs().max() <= 20 * 0.1 + 3 + 40  # a masked band takes the mean, 49.5
    assert typical.abs().median() <= 100 * 0.1 + 3
    assert typical.abs().max() > 3


def test_greedy_decoding_merges_repeats_and_drops_blanks_and_padding():
    path = torch.tensor([[0, 3, 3, 0, 3, 2, 2, 5], [4, 0, 0, 4, 4, 2, 2, 2]])
    logits = torch.nn.functional.one_hot(path, 6).float()
    assert ctc_greedy(logits, torch.tensor([7, 5])) == [[3, 3, 2], [4, 4]]


@pytest.mark.parametrize(
    ("hypothesis", "expected"),
    [([2, 3, 4], 0.0), ([1, 2, 1, 3, 4, 1], 0.0), ([2, 4], 1 / 3), ([2, 9, 4, 5], 2 / 3), ([], 1)],
)
def test_phoneme_error_rate(hypothesis: list[int], expected: float):
    assert phoneme_error_rate(hypothesis, [1, 2, 3, 4, 1]) == pytest.approx(expected)


def test_phoneme_error_rate_refuses_an_empty_reference():
    with pytest.raises(ValueError, match="no phoneme"):
        phoneme_error_rate([2], [1, 1])


@pytest.mark.parametrize("change", [{"symbols": 2}, {"width": 0}, {"mel_std": 0.0}])
def test_config_refuses_impossible_values(change: dict):
    with pytest.raises(ValueError, match=r"must be|symbol"):
        TokenizerConfig(**{"symbols": 12, **change})
