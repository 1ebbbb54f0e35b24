"""The language model: causality, padding, gradients, learning, attention paths."""

import dataclasses
from collections.abc import Callable

import pytest
import torch
import torch.nn.functional as F
from omegaconf import OmegaConf
from torch import nn

from gpt.layout import IGNORE
from gpt.model import GPT, GPTConfig, GPTOutputs
from gpt.tokenizer import TokenizerConfig
from gpt.transformer import (
    Dropout,
    GatedOutput,
    NormedProduct,
    TransformerBlock,
    explicit_attention,
    rotation,
)

LAYOUTS = ("interleaved", "plain")
CONFIG = GPTConfig(
    symbols=20,
    mark_sizes=[4, 2],
    codes=30,
    width=32,
    layers=2,
    heads=4,
    ff_channels=48,
    phoneme_channels=24,
    phoneme_layers=2,
    dropout=0.0,
    speaker_channels=8,
    max_tokens_per_phoneme=4,
)


def make_gpt(layout: str = "interleaved", **changes) -> GPT:
    torch.manual_seed(0)
    return GPT(dataclasses.replace(CONFIG, layout=layout, **changes)).eval()


def make_batch(rows: int = 3, phonemes: int = 7, seed: int = 0) -> dict[str, torch.Tensor]:
    """Random texts and tokens of different lengths; the first row is the longest."""
    generator = torch.Generator().manual_seed(seed)

    def integers(low: int, high: int, *shape: int) -> torch.Tensor:
        return torch.randint(low, high, shape, generator=generator)

    phoneme_lengths = torch.tensor([phonemes, *range(2, rows + 1)])
    durations = integers(0, 4, rows, phonemes)
    durations[:, 0] += 1
    durations[0] += 1
    durations[torch.arange(phonemes) >= phoneme_lengths[:, None]] = 0
    token_lengths = durations.sum(1)
    return {
        "phonemes": integers(1, 20, rows, phonemes),
        "marks": torch.stack((integers(0, 4, rows, phonemes), integers(0, 2, rows, phonemes)), 2),
        "phoneme_lengths": phoneme_lengths,
        "tokens": integers(0, 30, rows, int(token_lengths.max())),
        "token_lengths": token_lengths,
        "durations": durations,
        "z_spk": torch.randn(rows, 8, generator=generator),
    }


def cross_entropy(outputs: GPTOutputs) -> torch.Tensor:
    return F.cross_entropy(outputs.logits.mT, outputs.targets, ignore_index=IGNORE)


@pytest.mark.parametrize("layout", LAYOUTS)
def test_later_tokens_do_not_reach_earlier_logits(layout: str):
    gpt, batch = make_gpt(layout), make_batch()
    before = gpt(**batch)
    changed = batch["tokens"].clone()
    changed[:, 3] = (changed[:, 3] + 1) % 30
    after = gpt(**{**batch, "tokens": changed})
    row = 0
    position = int((before.targets[row] != after.targets[row]).nonzero()[0])
    torch.testing.assert_close(
        before.logits[row, : position + 1], after.logits[row, : position + 1]
    )
    difference = (before.logits[row] - after.logits[row]).abs().amax(1)
    assert difference[position + 1] > 1e-4


def test_phonemes_ahead_reach_the_first_logits():
    gpt, batch = make_gpt(), make_batch()
    changed = batch["phonemes"].clone()
    changed[0, 2] = (changed[0, 2] + 1) % 20
    difference = gpt(**batch).logits - gpt(**{**batch, "phonemes": changed}).logits
    assert difference[0, 0].abs().max() > 1e-4


@pytest.mark.parametrize("layout", LAYOUTS)
def test_padding_changes_nothing(layout: str):
    gpt, batch = make_gpt(layout), make_batch()
    together = gpt(**batch)
    row, phonemes, tokens = 2, batch["phoneme_lengths"][2], batch["token_lengths"][2]
    alone = gpt(
        **{
            key: value[
                row : row + 1,
                : phonemes
                if key in ("phonemes", "marks", "durations")
                else tokens
                if key == "tokens"
                else None,
            ]
            if value.ndim > 1
            else value[row : row + 1]
            for key, value in batch.items()
        }
    )
    size = alone.logits.shape[1]
    assert torch.equal(together.targets[row, :size], alone.targets[0])
    assert (together.targets[row, size:] == IGNORE).all()
    torch.testing.assert_close(together.logits[row, :size], alone.logits[0], atol=1e-4, rtol=0)
    torch.testing.assert_close(together.latents[row, :tokens], alone.latents[0], atol=1e-4, rtol=0)
    assert (together.latents[row, tokens:] == 0).all()


def test_latents_are_what_the_head_reads_after_the_token():
    gpt, batch = make_gpt(), make_batch()
    outputs = gpt(**batch)
    positions = gpt._lay_out(
        *(batch[k] for k in ("phonemes", "phoneme_lengths", "tokens", "token_lengths", "durations"))
    ).token_positions
    expected = outputs.logits[0, positions[0]]
    torch.testing.assert_close(gpt.head(outputs.latents[0]), expected)


@pytest.mark.parametrize("layout", LAYOUTS)
def test_gradients_flow_from_logits_and_from_latents(layout: str):
    gpt, batch = make_gpt(layout), make_batch()
    batch["z_spk"].requires_grad_(True)
    outputs = gpt(**batch)
    cross_entropy(outputs).backward()
    unused = {"count.weight"} if layout == "plain" else set()
    for name, parameter in gpt.named_parameters():
        assert parameter.grad is not None, name
        assert name in unused or parameter.grad.abs().sum() > 0, name
    assert batch["z_spk"].grad.abs().sum() > 0
    gpt.zero_grad()
    gpt(**batch).latents.square().mean().backward()
    assert gpt.head.weight.grad is None
    assert gpt.token.weight.grad.abs().sum() > 0
    assert gpt.phoneme_encoder.symbol.weight.grad.abs().sum() > 0


@pytest.mark.parametrize("layout", LAYOUTS)
def test_overfits_a_tiny_batch(layout: str):
    gpt, batch = make_gpt(layout).train(), make_batch()
    optimizer = torch.optim.AdamW(gpt.parameters(), lr=3e-3)
    for _ in range(60):
        outputs = gpt(**batch)
        loss = cross_entropy(outputs)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    predicting = outputs.targets != IGNORE
    right = (outputs.logits.argmax(-1) == outputs.targets)[predicting]
    assert right.float().mean() > 0.95


def test_the_untrained_model_is_unsure():
    gpt, batch = make_gpt(), make_batch()
    expected = torch.tensor(31.0).log()
    assert abs(cross_entropy(gpt(**batch)) - expected) < 0.2


def test_dropout_acts_in_training_only():
    gpt, batch = make_gpt(dropout=0.3), make_batch()
    assert torch.equal(gpt(**batch).logits, gpt(**batch).logits)
    gpt.train()
    assert not torch.equal(gpt(**batch).logits, gpt(**batch).logits)


def test_bf16_training_takes_the_explicit_path_and_stays_close():
    gpt, batch = make_gpt(), make_batch()
    exact = gpt(**batch).logits
    with torch.autocast("cpu", torch.bfloat16):
        outputs = gpt(**batch)
    cross_entropy(outputs).backward()
    assert (outputs.logits.float() - exact).abs().max() < 0.05 * exact.abs().max() + 0.02
    assert all(p.grad is not None and p.grad.isfinite().all() for p in gpt.parameters())


def test_explicit_attention_equals_the_fused_one():
    torch.manual_seed(0)
    results = []
    inputs = torch.randn(3, 2, 4, 11, 8)
    for attend in (
        explicit_attention,
        lambda q, k, v: F.scaled_dot_product_attention(q, k, v, is_causal=True),
    ):
        leaf = inputs.clone().requires_grad_(True)
        y = attend(*leaf.unbind(0))
        y.square().sum().backward()
        results.append((y.detach(), leaf.grad))
    torch.testing.assert_close(results[0], results[1], atol=1e-5, rtol=1e-5)


def test_the_gated_layer_has_the_gradients_of_its_formula():
    torch.manual_seed(0)
    inputs = torch.randn(2, 3, 10, dtype=torch.float64, requires_grad=True)
    weight = torch.randn(4, 5, dtype=torch.float64, requires_grad=True)
    gate, value = inputs.chunk(2, -1)
    written = F.linear(F.silu(gate) * value, weight)
    torch.testing.assert_close(GatedOutput.apply(inputs, weight), written)
    assert torch.autograd.gradcheck(GatedOutput.apply, (inputs, weight))
    assert torch.autograd.gradcheck(GatedOutput.apply, (inputs, weight.detach()))


def test_the_normed_product_has_the_gradients_of_its_formula():
    torch.manual_seed(0)
    x = torch.randn(2, 3, 6, dtype=torch.float64, requires_grad=True)
    scale = torch.rand(6, dtype=torch.float64, requires_grad=True)
    weight = torch.randn(4, 6, dtype=torch.float64, requires_grad=True)
    written = F.linear(x * (x.square().mean(-1, keepdim=True) + 2e-16).rsqrt() * scale, weight)
    torch.testing.assert_close(NormedProduct.apply(x, scale, weight), written)
    assert torch.autograd.gradcheck(NormedProduct.apply, (x, scale, weight))
    assert torch.autograd.gradcheck(NormedProduct.apply, (x, scale, weight.detach()))


def kept_bytes(layer: nn.Module, run: Callable[[], object]) -> int:
    """Bytes that a layer keeps for its gradient, its parameters left out."""
    kept = []
    with torch.autograd.graph.saved_tensors_hooks(lambda t: kept.append(t) or t, lambda t: t):
        run()
    parameters = {p.data_ptr() for p in layer.parameters()}
    storages = {t.untyped_storage().data_ptr(): t.untyped_storage().nbytes() for t in kept}
    return sum(size for place, size in storages.items() if place not in parameters)


def test_a_block_keeps_what_its_gradient_needs_and_nothing_twice():
    rows, time, width, hidden = 2, 5, 8, 64
    block, by = TransformerBlock(width, 2, hidden, dropout=0.1), rotation(torch.arange(5)[None], 4)
    x = torch.randn(rows, time, width, requires_grad=True)
    streams = 2 * width  # before either branch
    attention = 4 * width + 2  # queries, keys, values, outputs, and the sum of each head's softmax
    masks = 2 * width / 4  # of one byte
    a_position = 4 * (streams + attention + masks + 2 * hidden)
    angles = 4 * 2 * by[0].numel()
    assert kept_bytes(block, lambda: block(x, by)) == rows * time * a_position + angles


def test_dropout_scales_up_what_it_leaves():
    torch.manual_seed(0)
    x = torch.ones(200, 50, requires_grad=True)
    dropped = Dropout(0.1)(x)
    dropped.sum().backward()
    torch.testing.assert_close(x.grad, dropped.detach())
    assert dropped.detach().unique().tolist() == pytest.approx([0.0, 1 / 0.9])
    assert (dropped == 0).float().mean().item() == pytest.approx(0.1, abs=0.01)
    assert Dropout(0.1).eval()(x) is x


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_the_branches_train_in_half_precision(dtype: torch.dtype):
    torch.manual_seed(0)
    layer, x = TransformerBlock(16, 2, 32, dropout=0.0), torch.randn(2, 6, 16)
    by = rotation(torch.arange(6)[None], 8)
    exact = torch.autograd.grad(layer(x, by).square().sum(), list(layer.parameters()))
    with torch.autocast("cpu", dtype):
        loss = layer(x, by).float().square().sum()
    rounded = torch.autograd.grad(loss, list(layer.parameters()))
    for one, other in zip(rounded, exact, strict=True):
        assert one.dtype == torch.float32
        assert F.cosine_similarity(one.flatten(), other.flatten(), dim=0) > 0.999


def test_long_pauses_share_a_count():
    gpt = make_gpt()
    batch = make_batch(rows=1)
    batch["durations"] = torch.tensor([[9, 0, 0, 0, 0, 0, 2]])
    batch["token_lengths"] = torch.tensor([11])
    batch["tokens"] = torch.arange(11)[None]
    assert gpt(**batch).logits.isfinite().all()


def test_faults_are_refused():
    batch = make_batch()
    with pytest.raises(ValueError, match="needs durations"):
        make_gpt()(**{**batch, "durations": None})
    with pytest.raises(ValueError, match="max_positions=20"):
        make_gpt(max_positions=20)(**batch)
    assert make_gpt("plain")(**{**batch, "durations": None}).logits.isfinite().all()


@pytest.mark.parametrize(
    "change", [{"layout": "pointer"}, {"heads": 3}, {"dropout": 1.0}, {"layers": 0}]
)
def test_config_refuses_impossible_values(change: dict):
    with pytest.raises(ValueError, match=r"must"):
        dataclasses.replace(CONFIG, **change)


@pytest.mark.parametrize("config", [CONFIG, TokenizerConfig(symbols=20)])
def test_configs_survive_omegaconf(config: GPTConfig | TokenizerConfig):
    schema = OmegaConf.structured(type(config))
    restored = OmegaConf.to_object(OmegaConf.merge(schema, dataclasses.asdict(config)))
    assert restored == config
