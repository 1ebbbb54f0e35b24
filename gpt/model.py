"""The semantic encoder: a language model that writes semantic tokens for phonemes."""

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from jaxtyping import Float, Int
from torch import Tensor, nn

from data.masks import length_mask
from gpt.cached import CachedTransformer
from gpt.decoding import Decoding, Generated
from gpt.layout import Sequence, first_slot, interleave, plain
from gpt.packed import best_weights, pack_linear
from gpt.phonemes import PhonemeEncoder
from gpt.sampling import RowNoise, SamplingConfig
from gpt.transformer import Transformer
from gpt.writing import StepNetwork, Writer, check_bounds

INIT_STD = 0.02


@dataclass(frozen=True)
class GPTConfig:
    """Sizes of the language model; the defaults are the nano model, about 12 M parameters."""

    symbols: int
    """Phoneme symbols, padding (0) and pause (1) included."""
    mark_sizes: list[int]
    """Number of values of each mark of a phoneme: stress, word start, punctuation, language."""
    codes: int = 1000
    """Different tokens of the tokenizer."""
    width: int = 384
    """Channels of the residual stream and of the latents z_sem."""
    layers: int = 6
    """Transformer blocks."""
    heads: int = 6
    """Attention heads; divides `width` into an even number of channels."""
    ff_channels: int = 1024
    """Hidden channels of the SwiGLU layers."""
    phoneme_channels: int = 256
    """Width of the phoneme encoder."""
    phoneme_layers: int = 3
    """ConvNeXt blocks of the phoneme encoder, each looking 2 phonemes further."""
    dropout: float = 0.1
    """Share dropped after the embedding and after each branch, in training."""
    layout: str = "interleaved"
    """`interleaved` (ELLA-V, arXiv 2401.07333) or `plain`; see `gpt.layout`."""
    speaker_channels: int = 256
    """Channels of z_spk."""
    max_tokens_per_phoneme: int = 32
    """A phoneme is ended here, tokens (32 = 1.37 s at 23.4 Hz); longer pauses share a count."""
    max_positions: int = 4096
    """Longest sequence, speaker prefix included."""

    def __post_init__(self) -> None:
        if self.layout not in ("interleaved", "plain"):
            raise ValueError(f"layout={self.layout!r}: must be 'interleaved' or 'plain'")
        if self.width % (2 * self.heads):
            raise ValueError(
                f"width={self.width} and heads={self.heads}: each head must get an even number"
                " of channels; choose a width that is a multiple of 2 * heads"
            )
        if not 0 <= self.dropout < 1:
            raise ValueError(f"dropout={self.dropout}: must be at least 0 and below 1")
        if min(self.symbols, self.codes, self.layers, self.max_tokens_per_phoneme) < 1:
            raise ValueError("symbols, codes, layers and max_tokens_per_phoneme must be positive")


@dataclass
class GPTOutputs:
    """What one training step needs."""

    logits: Float[Tensor, "batch positions choices"]
    """Next-token scores; the last choice, `codes`, ends the phoneme (or, plain, the utterance)."""
    targets: Int[Tensor, "batch positions"]
    """The right choices; IGNORE (-100) where nothing is predicted."""
    latents: Float[Tensor, "batch tokens width"]
    """z_sem: hidden state at the position whose input is the token; 0 past the last token."""


class GPT(nn.Module):
    """Phonemes and a speaker vector -> tokens and their latents.

    Every input is the sum of what it is (token, phoneme slot or start), whose it is (the vector
    of its phoneme, which knows its neighbours on both sides), how far its phoneme has come, and
    who speaks; the speaker also stands alone at the first position.
    """

    def __init__(self, config: GPTConfig):
        super().__init__()
        self.config = config
        width = config.width
        self.phoneme_encoder = PhonemeEncoder(
            config.symbols,
            config.mark_sizes,
            config.phoneme_channels,
            config.phoneme_layers,
            width,
        )
        self.speaker = nn.Linear(config.speaker_channels, width)
        self.token = nn.Embedding(config.codes + 2, width)
        self.count = nn.Embedding(config.max_tokens_per_phoneme + 1, width)
        self.dropout = nn.Dropout(config.dropout)
        self.transformer = Transformer(
            width, config.layers, config.heads, config.ff_channels, config.dropout
        )
        self.head = nn.Linear(width, config.codes + 1)
        # Embeddings leave their table at the scale of the other terms of the sum, about 0.4;
        # at 0.02 the phoneme vectors would drown the tokens for the first hundreds of updates.
        self.embedding_scale = width**0.5
        self.packed: StepNetwork | None = None
        self._initialise()

    def forward(
        self,
        phonemes: Int[Tensor, "batch phonemes"],
        marks: Int[Tensor, "batch phonemes marks"],
        phoneme_lengths: Int[Tensor, " batch"],
        tokens: Int[Tensor, "batch tokens"],
        token_lengths: Int[Tensor, " batch"],
        durations: Int[Tensor, "batch phonemes"] | None,
        z_spk: Float[Tensor, "batch speaker_channels"],
    ) -> GPTOutputs:
        """Predict every next token (teacher forcing).

        Args:
            phonemes: symbols of the text, pauses included.
            marks: stress, word start, punctuation and language of each phoneme.
            phoneme_lengths: valid phonemes.
            tokens: the tokenizer's tokens, ids below `codes`.
            token_lengths: valid tokens.
            durations: tokens of each phoneme; needed by the interleaved layout only.
            z_spk: speaker vector.

        Raises:
            ValueError: durations are missing or do not sum to the token lengths, or the sequence
                is longer than `max_positions`.
        """
        sequence = self._lay_out(phonemes, phoneme_lengths, tokens, token_lengths, durations)
        size = sequence.inputs.shape[1] + 1
        if size > self.config.max_positions:
            raise ValueError(
                f"a sequence of {size} positions exceeds max_positions={self.config.max_positions}:"
                " cut this utterance into shorter ones"
            )
        context, speaker = self._encode_prompt(phonemes, marks, phoneme_lengths, z_spk)
        x = self._embed(context, speaker, sequence.inputs, sequence.owners, sequence.counts)
        x = self.dropout(torch.cat((speaker, x), 1))
        positions = torch.arange(size, device=x.device)[None]
        hidden = self.transformer(x, positions)[:, 1:]
        index = sequence.token_positions[..., None].expand(-1, -1, self.config.width)
        valid = length_mask(token_lengths, tokens.shape[1])[..., None]
        return GPTOutputs(
            logits=self.head(hidden),
            targets=sequence.targets,
            latents=hidden.gather(1, index) * valid,
        )

    def prepare(self, weights: str | None = None, native: bool | None = None) -> None:
        """Pack the weights for generation, once for many texts; training discards the packing.

        Args:
            weights: see `gpt.packed.pack_linear`; None: the fastest that rounds nothing of a
                bundle's weights.
            native: see `CachedTransformer`.

        Raises:
            ValueError: this device has no product for such weights.
        """
        self.packed = self._pack(weights or best_weights(self.head.weight.device), native)

    def train(self, mode: bool = True) -> "GPT":
        """Set the mode; weights that may change are packed anew for the next generation."""
        if mode:
            self.packed = None
        super().train(mode)
        return self

    @torch.no_grad()
    def generate(
        self,
        phonemes: Int[Tensor, "batch phonemes"],
        marks: Int[Tensor, "batch phonemes marks"],
        phoneme_lengths: Int[Tensor, " batch"],
        z_spk: Float[Tensor, "batch speaker_channels"],
        sampling: SamplingConfig,
        generator: torch.Generator | list[torch.Generator],
        bounds: Int[Tensor, "batch phonemes"] | None = None,
    ) -> Generated:
        """Write tokens for the phonemes, at least one for each item; set `eval` mode first.

        Row i's random numbers depend on the state of `generator` and on i alone, so neither the
        texts nor the number of the other rows change what it says (up to rounding errors).

        Args:
            phonemes: symbols of the text.
            marks: of each phoneme.
            phoneme_lengths: valid phonemes.
            z_spk: speaker vectors.
            sampling: how to choose.
            generator: all randomness; a list has one for each row, which then sounds as alone.
            bounds: most tokens of each phoneme (plain: the sum bounds the text), at most
                `max_tokens_per_phoneme`; None: that many.

        Raises:
            ValueError: the phonemes leave no room for a token below `max_positions`, or a bound
                is below 1.
        """
        # The packed weights have their own precision.
        with torch.autocast(phonemes.device.type, enabled=False):
            writer = self.writer(
                phonemes, marks, phoneme_lengths, z_spk, sampling, generator, bounds
            )
            while writer.step():
                pass
        return writer.written(with_durations=self.config.layout == "interleaved")

    @torch.no_grad()
    def writer(
        self,
        phonemes: Int[Tensor, "batch phonemes"],
        marks: Int[Tensor, "batch phonemes marks"],
        phoneme_lengths: Int[Tensor, " batch"],
        z_spk: Float[Tensor, "batch speaker_channels"],
        sampling: SamplingConfig,
        generator: torch.Generator | list[torch.Generator],
        bounds: Int[Tensor, "batch phonemes"] | None = None,
    ) -> Writer:
        """What `generate` does, in steps that the caller takes, without gradients or autocast."""
        config = self.config
        if phonemes.shape[1] + 3 > config.max_positions:
            raise ValueError(
                f"{phonemes.shape[1]} phonemes leave no room for tokens below"
                f" max_positions={config.max_positions}: cut the text into sentences"
            )
        context, speaker = self._encode_prompt(phonemes, marks, phoneme_lengths, z_spk.float())
        prompt, lengths = self._lay_out_prompt(phonemes, phoneme_lengths)
        most = config.max_tokens_per_phoneme
        decoding = Decoding(
            config.layout,
            config.codes,
            phoneme_lengths,
            check_bounds(bounds, phonemes, phoneme_lengths, most),
            sampling,
            RowNoise(len(phonemes), generator, phonemes.device),
        )
        return Writer(
            self.packed or self._pack("float32"),
            speaker,
            context + speaker,
            prompt,
            lengths,
            decoding,
            config.max_positions,
        )

    def _pack(self, weights: str, native: bool | None = None) -> StepNetwork:
        # The scores of a thousand tokens are where 8 bits would change choices.
        kind = best_weights(self.head.weight.device) if weights == "int8" else weights
        head = pack_linear(self.head.weight, self.head.bias, kind)
        scale = self.embedding_scale
        return StepNetwork(
            CachedTransformer(self.transformer, weights, self.config.max_positions, native),
            head,
            self.token.weight.detach().float() * scale,
            self.count.weight.detach().float() * scale,
        )

    def _encode_prompt(
        self,
        phonemes: Int[Tensor, "batch phonemes"],
        marks: Int[Tensor, "batch phonemes marks"],
        phoneme_lengths: Int[Tensor, " batch"],
        z_spk: Float[Tensor, "batch speaker_channels"],
    ) -> tuple[Float[Tensor, "batch phonemes_and_none width"], Float[Tensor, "batch 1 width"]]:
        """Phoneme vectors, with a zero vector behind for positions without a phoneme; speaker."""
        mask = length_mask(phoneme_lengths, phonemes.shape[1])
        context = F.pad(self.phoneme_encoder(phonemes, marks, mask), (0, 0, 0, 1))
        return context, self.speaker(z_spk)[:, None]

    def _embed(
        self,
        context: Float[Tensor, "batch phonemes_and_none width"],
        speaker: Float[Tensor, "batch 1 width"],
        inputs: Int[Tensor, "batch positions"],
        owners: Int[Tensor, "batch positions"],
        counts: Int[Tensor, "batch positions"],
    ) -> Float[Tensor, "batch positions width"]:
        counts = counts.clamp_max(self.config.max_tokens_per_phoneme)
        own = (self.token(inputs) + self.count(counts)) * self.embedding_scale
        index = owners[..., None].expand(-1, -1, self.config.width)
        return own + context.gather(1, index) + speaker

    def _lay_out(
        self,
        phonemes: Int[Tensor, "batch phonemes"],
        phoneme_lengths: Int[Tensor, " batch"],
        tokens: Int[Tensor, "batch tokens"],
        token_lengths: Int[Tensor, " batch"],
        durations: Int[Tensor, "batch phonemes"] | None,
    ) -> Sequence:
        codes = self.config.codes
        if self.config.layout == "plain":
            return plain(tokens, token_lengths, phonemes.shape[1], phoneme_lengths, codes)
        if durations is None:
            raise ValueError(
                "the interleaved layout needs durations (tokens per phoneme): align the data, or"
                " choose layout='plain'"
            )
        return interleave(tokens, token_lengths, durations, phoneme_lengths, codes)

    def _lay_out_prompt(
        self, phonemes: Int[Tensor, "batch phonemes"], phoneme_lengths: Int[Tensor, " batch"]
    ) -> tuple[Sequence, Int[Tensor, " batch"]]:
        """What is known before the first token, and how many positions of it each row has."""
        if self.config.layout == "interleaved":
            return first_slot(phonemes, self.config.codes), torch.ones_like(phoneme_lengths)
        prompt = plain(
            phonemes[:, :0],
            torch.zeros_like(phoneme_lengths),
            phonemes.shape[1],
            phoneme_lengths,
            self.config.codes,
        )
        return prompt, phoneme_lengths + 1

    def _initialise(self) -> None:
        """GPT-2's: standard deviation 0.02, smaller where a layer adds to the residual stream."""
        for name, module in self.named_modules():
            if isinstance(module, nn.Linear | nn.Embedding):
                branches = 2 * self.config.layers
                into_stream = name.startswith("transformer.") and name.endswith(".out")
                std = INIT_STD / branches**0.5 if into_stream else INIT_STD
                nn.init.normal_(module.weight, std=std)
            if isinstance(module, nn.Linear) and module.bias is not None:
                nn.init.zeros_(module.bias)
