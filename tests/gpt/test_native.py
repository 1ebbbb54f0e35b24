"""The pass in C beside torch's: equal states, whatever the rows, the slots and the threads are."""

import logging
import tomllib
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
import torch

from gpt import native
from gpt.cached import CachedTransformer, KeyValueCache
from gpt.model import GPT, GPTConfig
from gpt.packed import WEIGHTS
from gpt.sampling import SamplingConfig
from gpt.transformer import Transformer

GREEDY = SamplingConfig(temperature=0.0)
TOLERANCE = {"float32": 1e-5, "float16": 1e-5, "bfloat16": 0.03, "int8": 0.1}
"""Torch rounds inputs to bfloat16 and int8 too; the states' deviation is about 1."""

needs_compiler = pytest.mark.skipif(native.load_library() is None, reason="no C compiler")


@pytest.fixture(params=[1, 2])
def threads(request: pytest.FixtureRequest) -> Iterator[int]:
    before = torch.get_num_threads()
    torch.set_num_threads(request.param)
    yield request.param
    torch.set_num_threads(before)


class Pair:
    """One transformer by torch and in C, fed with the same inputs."""

    def __init__(self, weights: str, starts: list[int] | None, rows: int, width: int = 36):
        torch.manual_seed(0)
        # 36 channels and 50 hidden ones are padded; heads have 12.
        transformer = Transformer(width, 2, 3, 50, 0.0).eval()
        self.width = width
        self.starts = None if starts is None else torch.tensor(starts)
        self.both: list[tuple[CachedTransformer, KeyValueCache]] = []
        for in_c in (False, True):
            cached = CachedTransformer(transformer, weights, 100, native=in_c)
            self.both.append((cached, cached.new_cache(rows, 8, self.starts)))

    def difference(self, new: int) -> float:
        rows, used = self.both[0][1].data.shape[1], self.both[0][1].used
        x = torch.randn(rows, new, self.width)
        slots = torch.arange(used, used + new).expand(rows, -1)
        starts = torch.zeros(rows) if self.starts is None else self.starts
        positions = (slots - starts[:, None].long()).clamp_min(0)
        ours, torchs = (cached(x, positions, cache) for cached, cache in reversed(self.both))
        inside = slots >= starts[:, None]
        return float((ours - torchs)[inside].abs().max())

    def keep(self, rows: list[int]) -> None:
        for _, cache in self.both:
            cache.keep(torch.tensor(rows))
        self.starts = None if self.starts is None else self.starts[rows]


@needs_compiler
@pytest.mark.parametrize("weights", WEIGHTS)
@pytest.mark.parametrize("starts", [None, [0, 3, 6, 1, 0, 2]], ids=["aligned", "padded"])
def test_states_equal_torchs_while_the_cache_grows_and_rows_leave(
    weights: str, starts: list[int] | None, threads: int
):
    pair = Pair(weights, starts, rows=6)
    worst = [pair.difference(7), *(pair.difference(1) for _ in range(8))]
    pair.keep([0, 5, 2])
    worst += [pair.difference(1) for _ in range(8)]
    pair.keep([2])
    worst += [pair.difference(1), pair.difference(3)]
    assert pair.both[1][1].data.shape[4] > 8
    assert max(worst) < TOLERANCE[weights]


@needs_compiler
@pytest.mark.parametrize("weights", WEIGHTS)
def test_a_position_is_the_same_bit_for_bit_whatever_is_beside_it(weights: str, threads: int):
    torch.manual_seed(0)
    cached = CachedTransformer(Transformer(64, 2, 4, 96, 0.0), weights, 100, native=True)
    x, positions = torch.randn(5, 7, 64), torch.arange(7).expand(5, -1)
    together = cached(x, positions, cached.new_cache(5, 8))
    cache = cached.new_cache(1, 8)
    alone = [cached(x[:1, i : i + 1], positions[:1, i : i + 1], cache) for i in range(7)]
    assert torch.equal(torch.cat(alone, 1), together[:1])
    torch.set_num_threads(3 - threads)
    assert torch.equal(cached(x, positions, cached.new_cache(5, 8)), together)


def make_gpt() -> GPT:
    torch.manual_seed(0)
    config = GPTConfig(
        symbols=20,
        mark_sizes=[2],
        codes=30,
        width=32,
        layers=2,
        heads=4,
        ff_channels=48,
        phoneme_channels=24,
        phoneme_layers=1,
        speaker_channels=8,
        max_tokens_per_phoneme=4,
        max_positions=100,
    )
    gpt = GPT(config).eval()
    with torch.no_grad():
        gpt.head.weight.mul_(30)
    return gpt


def say(gpt: GPT) -> torch.Tensor:
    """Greedy tokens, after the full forward has been seen to choose the same."""
    generator = torch.Generator().manual_seed(5)
    text = {
        "phonemes": torch.randint(1, 20, (3, 6), generator=generator),
        "marks": torch.zeros(3, 6, 1, dtype=torch.int64),
        "phoneme_lengths": torch.tensor([6, 3, 5]),
        "z_spk": torch.randn(3, 8, generator=generator),
    }
    spoken = gpt.generate(**text, sampling=GREEDY, generator=torch.Generator())
    outputs = gpt(
        **text, tokens=spoken.tokens, token_lengths=spoken.token_lengths, durations=spoken.durations
    )
    torch.testing.assert_close(spoken.latents, outputs.latents, atol=1e-4, rtol=1e-4)
    free = (outputs.targets >= 0) & (outputs.targets < 30)
    assert torch.equal(outputs.logits[..., :-1].argmax(-1)[free], outputs.targets[free])
    return spoken.tokens


@needs_compiler
def test_greedy_tokens_are_those_of_torch_and_of_the_full_forward():
    gpt = make_gpt()
    gpt.prepare("float32", native=False)
    expected = say(gpt)
    gpt.prepare("float32", native=True)
    assert torch.equal(say(gpt), expected)


@pytest.fixture
def fresh(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Path]:
    """Nothing has been compiled or loaded."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    native.load_library.cache_clear()
    yield tmp_path / "timbre"
    native.load_library.cache_clear()


@pytest.mark.parametrize("compiler", ["", "false", "no-such-compiler"])
def test_without_a_compiler_torch_writes_and_says_so_once(
    compiler: str, fresh: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
):
    if compiler:
        monkeypatch.setenv("CC", compiler)
    else:
        monkeypatch.delenv("CC", raising=False)
        monkeypatch.setenv("PATH", str(fresh))
    gpt = make_gpt()
    with caplog.at_level(logging.INFO, "gpt.native"):
        assert torch.equal(say(gpt), say(gpt))
        with pytest.raises(ValueError, match="C compiler"):
            gpt.prepare("float32", native=True)
    assert [record.levelname for record in caplog.records] == ["INFO"]
    assert not list(fresh.glob("*.so"))


@needs_compiler
def test_any_number_may_compile_at_once(tmp_path: Path):
    with ThreadPoolExecutor(3) as pool:
        results = set(pool.map(native.compiled, [tmp_path] * 3))
    assert list(tmp_path.iterdir()) == list(results)


def test_the_source_is_shipped():
    project = tomllib.loads((Path(native.__file__).parents[1] / "pyproject.toml").read_text())
    patterns = project["tool"]["setuptools"]["package-data"]["gpt"]
    source = Path(native.__file__).with_suffix(".c")
    assert any(source.match(pattern) for pattern in patterns)
