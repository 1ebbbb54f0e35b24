"""Generation and sampling: cached equals full, order of phonemes, rows, rules of choice."""

import dataclasses

import pytest
import torch

from gpt.decoding import Decoding
from gpt.layout import IGNORE
from gpt.model import GPT, GPTConfig
from gpt.packed import WEIGHTS
from gpt.sampling import RowNoise, SamplingConfig, choose, draw, nucleus, sample_tokens

LAYOUTS = ("interleaved", "plain")
SAMPLED = SamplingConfig()
GREEDY = SamplingConfig(temperature=0.0)
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
    speaker_channels=8,
    max_tokens_per_phoneme=4,
    max_positions=160,
)


def make_gpt(layout: str, end_bias: float = 1.0, **changes) -> GPT:
    """A random model with sharp, varied choices and ends likely enough to see both."""
    torch.manual_seed(0)
    gpt = GPT(dataclasses.replace(CONFIG, layout=layout, **changes)).eval()
    with torch.no_grad():
        gpt.head.weight.mul_(30)
        gpt.head.bias[-1] += end_bias
    return gpt


def make_text(lengths: tuple[int, ...] = (3, 6, 1)) -> dict[str, torch.Tensor]:
    generator = torch.Generator().manual_seed(5)
    rows, size = len(lengths), max(lengths)
    return {
        "phonemes": torch.randint(1, 20, (rows, size), generator=generator),
        "marks": torch.randint(0, 2, (rows, size, 2), generator=generator),
        "phoneme_lengths": torch.tensor(lengths),
        "z_spk": torch.randn(rows, 8, generator=generator),
    }


def speak(gpt: GPT, text: dict, sampling: SamplingConfig = SAMPLED, seed: int = 0):
    return gpt.generate(**text, sampling=sampling, generator=torch.Generator().manual_seed(seed))


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("sampling", [SAMPLED, GREEDY], ids=["sampled", "greedy"])
def test_cached_generation_equals_the_full_forward(layout: str, sampling: SamplingConfig):
    gpt, text = make_gpt(layout), make_text()
    spoken = speak(gpt, text, sampling)
    assert len(set(spoken.token_lengths.tolist())) > 1
    outputs = gpt(
        **text,
        tokens=spoken.tokens,
        token_lengths=spoken.token_lengths,
        durations=spoken.durations,
    )
    torch.testing.assert_close(spoken.latents, outputs.latents, atol=1e-4, rtol=1e-4)


def test_greedy_tokens_are_the_most_probable_of_the_full_forward():
    gpt, text = make_gpt("interleaved"), make_text()
    spoken = speak(gpt, text, GREEDY)
    outputs = gpt(
        **text, tokens=spoken.tokens, token_lengths=spoken.token_lengths, durations=spoken.durations
    )
    best = outputs.logits.argmax(-1)
    # Forced choices: an end after 4 tokens, and no end while nothing has been said.
    free = (outputs.targets != IGNORE) & (outputs.targets != CONFIG.codes)
    free &= best != CONFIG.codes
    assert free.sum() > 5
    assert torch.equal(best[free], outputs.targets[free])


def test_every_phoneme_gets_its_turn_and_tokens_are_counted():
    gpt, text = make_gpt("interleaved", end_bias=-2.0), make_text()
    spoken = speak(gpt, text)
    assert torch.equal(spoken.durations.sum(1), spoken.token_lengths)
    assert spoken.durations.max() == CONFIG.max_tokens_per_phoneme
    inside = torch.arange(6) < text["phoneme_lengths"][:, None]
    assert (spoken.durations[~inside] == 0).all()
    assert spoken.tokens.max() < CONFIG.codes
    assert speak(make_gpt("plain"), text).durations is None


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("sampling", [SAMPLED, GREEDY], ids=["sampled", "greedy"])
def test_at_least_one_token_even_if_the_model_only_wants_to_end(layout: str, sampling):
    spoken = speak(make_gpt(layout, end_bias=1e4), make_text(), sampling)
    assert spoken.token_lengths.tolist() == [1, 1, 1]
    assert spoken.latents.shape == (3, 1, CONFIG.width)


@pytest.mark.parametrize("layout", LAYOUTS)
def test_stops_at_max_positions_without_dropping_phonemes(layout: str):
    gpt = make_gpt(layout, end_bias=-1e4, max_positions=18, max_tokens_per_phoneme=8)
    text = make_text((3, 6, 2))
    spoken = speak(gpt, text)
    if layout == "interleaved":
        assert spoken.token_lengths.tolist() == [14, 11, 15]
    else:
        assert spoken.token_lengths.tolist() == [13, 10, 14]
    outputs = gpt(
        **text, tokens=spoken.tokens, token_lengths=spoken.token_lengths, durations=spoken.durations
    )
    torch.testing.assert_close(spoken.latents, outputs.latents, atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize("layout", LAYOUTS)
def test_the_cache_grows(layout: str):
    gpt = make_gpt(layout, end_bias=-3.0, max_tokens_per_phoneme=60, max_positions=600)
    text = make_text((3, 2))
    spoken = speak(gpt, text)
    assert spoken.token_lengths.max() > 4 * 3 + 64 + 5
    outputs = gpt(
        **text, tokens=spoken.tokens, token_lengths=spoken.token_lengths, durations=spoken.durations
    )
    torch.testing.assert_close(spoken.latents, outputs.latents, atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize("layout", LAYOUTS)
def test_a_row_says_the_same_whatever_the_others_are(layout: str):
    gpt, text = make_gpt(layout), make_text()
    together = speak(gpt, text)
    changed = {key: value.clone() for key, value in text.items()}
    changed["phonemes"][1:] = 7
    changed["z_spk"][1:] *= -3
    beside_others = speak(gpt, changed)
    alone = speak(gpt, {key: value[:1] for key, value in text.items()})
    length = int(together.token_lengths[0])
    for other in (beside_others, alone):
        assert other.token_lengths[0] == length
        assert torch.equal(other.tokens[0, :length], together.tokens[0, :length])
    assert not torch.equal(beside_others.tokens[1], together.tokens[1])


@pytest.mark.parametrize("layout", LAYOUTS)
def test_rows_that_have_ended_are_dropped(layout: str, monkeypatch: pytest.MonkeyPatch):
    gpt, text = make_gpt(layout, end_bias=-1.0), make_text((2, 9, 1, 5))
    sizes = []
    advance = Decoding.advance

    def watch(self, logits, room):
        sizes.append(len(logits))
        return advance(self, logits, room)

    monkeypatch.setattr(Decoding, "advance", watch)
    spoken = speak(gpt, text)
    assert sizes[0] == 4
    assert sizes == sorted(sizes, reverse=True)
    slots = text["phoneme_lengths"] if layout == "interleaved" else 1
    assert sum(sizes) == int((spoken.token_lengths + slots).sum())


@pytest.mark.parametrize("weights", WEIGHTS)
def test_packed_weights_speak_like_the_full_forward(weights: str):
    gpt, text = make_gpt("interleaved", width=64, ff_channels=96), make_text((9, 6))
    gpt.prepare(weights)
    spoken = speak(gpt, text, GREEDY)
    outputs = gpt(
        **text, tokens=spoken.tokens, token_lengths=spoken.token_lengths, durations=spoken.durations
    )
    rounding = {"float32": 1e-4, "float16": 5e-3, "bfloat16": 0.1, "int8": 0.2}[weights]
    assert (spoken.latents - outputs.latents).abs().max() < rounding


def test_half_weights_lose_nothing_of_a_model_saved_in_16_bits():
    gpt, text = make_gpt("interleaved"), make_text((9, 6))
    gpt.load_state_dict({name: t.half().float() for name, t in gpt.state_dict().items()})
    full = speak(gpt, text, GREEDY)
    gpt.prepare("float16")
    half = speak(gpt, text, GREEDY)
    assert torch.equal(full.tokens, half.tokens)
    torch.testing.assert_close(full.latents, half.latents, atol=1e-4, rtol=1e-4)


def test_training_unpacks():
    gpt, text = make_gpt("interleaved"), make_text()
    gpt.prepare("float32")
    before = speak(gpt, text, GREEDY)
    gpt.train()
    with torch.no_grad():
        gpt.transformer.blocks[0].attention.out.weight.mul_(3)
    after = speak(gpt.eval(), text, GREEDY)
    size = min(before.latents.shape[1], after.latents.shape[1])
    assert not torch.equal(before.latents[:, :size], after.latents[:, :size])


def test_unknown_weights_are_refused():
    with pytest.raises(ValueError, match="use one of float32"):
        make_gpt("plain").prepare("float8")


@pytest.mark.parametrize("layout", LAYOUTS)
def test_bounds_end_what_goes_on_too_long(layout: str):
    gpt, text = make_gpt(layout, end_bias=-1e4), make_text()
    bounds = torch.tensor([[2, 1, 3, 9, 9, 9], [1, 1, 1, 1, 2, 2], [3, 9, 9, 9, 9, 9]])
    spoken = gpt.generate(
        **text, sampling=SAMPLED, generator=torch.Generator().manual_seed(0), bounds=bounds
    )
    assert spoken.token_lengths.tolist() == [6, 8, 3]
    if layout == "interleaved":
        assert spoken.durations[1].tolist() == [1, 1, 1, 1, 2, 2]
    with pytest.raises(ValueError, match="at least 1 token"):
        gpt.generate(
            **text, sampling=SAMPLED, generator=torch.Generator(), bounds=torch.zeros_like(bounds)
        )


def test_generation_is_a_function_of_the_seed():
    gpt, text = make_gpt("interleaved", end_bias=-1.0), make_text()
    warm = SamplingConfig(temperature=1.0, top_k=0, top_p=1.0)
    first, again, other = (speak(gpt, text, warm, seed) for seed in (1, 1, 2))
    assert torch.equal(first.tokens, again.tokens)
    assert first.tokens.shape != other.tokens.shape or not torch.equal(first.tokens, other.tokens)


def test_generation_under_bf16_autocast():
    gpt, text = make_gpt("interleaved"), make_text()
    with torch.autocast("cpu", torch.bfloat16):
        spoken = speak(gpt, text)
    assert spoken.latents.isfinite().all()
    assert (spoken.token_lengths >= 1).all()


def test_too_long_a_text_is_refused():
    with pytest.raises(ValueError, match="cut the text"):
        speak(make_gpt("interleaved", max_positions=8), make_text())


def test_draw_follows_the_probabilities():
    probabilities = torch.tensor([[0.0, 0.2, 0.0, 0.5, 0.3]]).expand(10_000, -1)
    uniform = (torch.arange(10_000) + 0.5) / 10_000
    shares = torch.bincount(draw(probabilities * 3, uniform), minlength=5) / 10_000
    torch.testing.assert_close(shares, probabilities[0], atol=2e-3, rtol=0)
    edges = draw(probabilities[:2], torch.tensor([0.0, 1.0]))
    assert edges.tolist() == [1, 4]


def test_nucleus_keeps_the_choice_that_crosses_top_p():
    logits = torch.tensor([[0.1, 0.4, 0.2, 0.3]]).log()
    kept, ids = nucleus(logits, top_k=0, top_p=0.65)
    assert ids[0].tolist() == [1, 3, 2, 0]
    torch.testing.assert_close(kept, torch.tensor([[0.4, 0.3, 0.0, 0.0]]))
    kept, ids = nucleus(logits, top_k=1, top_p=1.0)
    assert ids.tolist() == [[1]]


def test_repeated_tokens_are_drawn_again_from_all():
    logits = torch.tensor([[5.0, 0.0, 0.0, 0.0]]).expand(2000, -1)
    config = SamplingConfig(temperature=1.0, top_k=1, repetition_window=4, repetition_threshold=0.3)
    uniforms = (torch.rand(2000), (torch.arange(2000) + 0.5) / 2000)
    fresh = torch.tensor([[-1, 0, 2, 3]]).expand(2000, -1)
    assert (sample_tokens(logits, fresh, config, uniforms) == 0).all()
    stuck = torch.tensor([[0, 1, 0, 3]]).expand(2000, -1)
    tokens = sample_tokens(logits, stuck, config, uniforms)
    share = (tokens == 0).float().mean()
    torch.testing.assert_close(share, logits[0].softmax(-1)[0], atol=2e-3, rtol=0)


def test_the_end_is_decided_at_its_own_temperature():
    rows = 4000
    logits = torch.tensor([2.0, 1.0, 0.0]).expand(rows, -1)
    noise = RowNoise(rows, torch.Generator().manual_seed(0), torch.device("cpu"))
    config = SamplingConfig(temperature=1e-3, end_temperature=1.0, repetition_window=0)
    no, yes = torch.zeros(rows, dtype=torch.bool), torch.ones(rows, dtype=torch.bool)
    recent = torch.zeros(rows, 0, dtype=torch.int64)
    ends, tokens = choose(logits, no, yes, recent, config, noise)
    expected = logits[0].softmax(-1)[-1]
    assert abs(ends.float().mean() - expected) < 0.02
    assert (tokens == 0).all()
    assert choose(logits, yes, no, recent, config, noise)[0].all()
    assert not choose(logits, no, no, recent, config, noise)[0].any()


@pytest.mark.parametrize(
    "change", [{"temperature": -1.0}, {"end_temperature": 0.0}, {"top_p": 0.0}, {"top_k": -1}]
)
def test_sampling_refuses_impossible_values(change: dict):
    with pytest.raises(ValueError, match="must be"):
        SamplingConfig(**change)
