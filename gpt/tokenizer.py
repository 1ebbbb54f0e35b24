"""The semantic tokenizer: mel -> tokens of content and prosody, at a quarter of the mel rate."""

from dataclasses import dataclass, field

import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn

from data.masks import length_mask
from data.mel import FRAMES_PER_TOKEN
from gpt.convnext import ConvNeXtBlock
from gpt.fsq import FSQ

FRAMES_PER_CTC_FRAME = 2
CTC_FRAMES_PER_TOKEN = FRAMES_PER_TOKEN // FRAMES_PER_CTC_FRAME
QUIET_SHARE = 0.3


@dataclass(frozen=True)
class TokenizerConfig:
    """Sizes of the semantic tokenizer; the defaults are the nano model, 4.0 M parameters."""

    symbols: int
    """Phoneme symbols, blank (0) and pause (1) included."""
    mel_channels: int = 100
    """Mel bands of the input."""
    width: int = 256
    """Channels of the residual streams."""
    expansion: int = 3
    """Hidden channels of a ConvNeXt block, as a multiple of `width`."""
    kernel: int = 7
    """Taps of the depthwise convolutions, odd."""
    encoder_layers: int = 4
    """ConvNeXt blocks at the CTC rate (mel rate / 2)."""
    bottleneck_layers: int = 2
    """ConvNeXt blocks at the token rate (mel rate / 4)."""
    decoder_layers: int = 2
    """ConvNeXt blocks of the mel reconstruction, at the CTC rate."""
    fsq_levels: list[int] = field(default_factory=lambda: [8, 5, 5, 5])
    """Levels per quantized channel; their product is the number of codes (arXiv 2309.15505)."""
    mel_mean: float = -4.0
    """Mean of the log-mel, nats."""
    mel_std: float = 2.0
    """Scale of the log-mel, nats."""

    def __post_init__(self) -> None:
        if self.symbols < 3:
            raise ValueError(
                f"symbols={self.symbols}: give the size of the symbol table, which holds at least"
                " blank, pause and one phoneme"
            )
        if min(self.mel_channels, self.width, self.expansion) < 1:
            raise ValueError("mel_channels, width and expansion must be at least 1")
        if self.mel_std <= 0:
            raise ValueError(f"mel_std={self.mel_std}: must be positive")


@dataclass
class TokenizerOutputs:
    """What one training step of the tokenizer needs; lengths of both CTC heads are the same."""

    tokens: Int[Tensor, "batch tokens"]
    token_lengths: Int[Tensor, " batch"]
    ctc_logits: Float[Tensor, "batch ctc_frames symbols"]
    """Before quantization."""
    ctc_logits_quantized: Float[Tensor, "batch ctc_frames symbols"]
    """Read from the quantized values only: what the tokens still know of the phonemes."""
    ctc_lengths: Int[Tensor, " batch"]
    reconstruction: Float[Tensor, "batch mels frames"]
    """Log-mel, nats, rebuilt from tokens and style."""


def normalise_utterance(
    mel: Float[Tensor, "batch mels frames"], mask: Bool[Tensor, "batch frames"], mel_std: float
) -> Float[Tensor, "batch mels frames"]:
    """Remove gain and long-term spectrum: subtract the mean of the louder 70 % of the frames.

    The mean over all frames would move with the share of silence in a clip. Frames where `mask`
    is False are 0 in the result.
    """
    mel = mel.float()
    loudness = mel.mean(1).masked_fill(~mask, torch.inf)
    rank = (QUIET_SHARE * mask.sum(1, keepdim=True)).long()
    threshold = loudness.sort(1).values.gather(1, rank)
    kept = ((loudness >= threshold) & mask)[:, None].float()
    mean = (mel * kept).sum(2, keepdim=True) / kept.sum(2, keepdim=True).clamp_min(1)
    return (mel - mean) / mel_std * mask[:, None]


class SemanticTokenizer(nn.Module):
    """Phoneme-supervised tokens: what is said and how, not who says it.

    A phoneme CTC head before the quantizer teaches the encoder speech and is the forced aligner
    and the judge of intelligibility; one behind it keeps the phonemes in the tokens; the mel
    reconstruction keeps prosody there. A style vector pooled over the whole clip carries the
    voice past the tokens. Supervised tokens: CosyVoice, arXiv 2407.05407, section 2.1.
    """

    def __init__(self, config: TokenizerConfig):
        super().__init__()
        self.config = config
        width, channels = config.width, len(config.fsq_levels)

        def blocks(layers: int) -> nn.ModuleList:
            return nn.ModuleList(
                ConvNeXtBlock(width, config.expansion, config.kernel) for _ in range(layers)
            )

        self.stem = nn.Conv1d(config.mel_channels, width, 5, stride=FRAMES_PER_CTC_FRAME, padding=2)
        self.encoder = blocks(config.encoder_layers)
        self.ctc_head = nn.Linear(width, config.symbols)
        self.down = nn.Linear(CTC_FRAMES_PER_TOKEN * width, width)
        self.bottleneck = blocks(config.bottleneck_layers)
        self.to_quantizer = nn.Sequential(nn.LayerNorm(width), nn.Linear(width, channels))
        self.quantizer = FSQ(config.fsq_levels)
        self.up = nn.Linear(channels, CTC_FRAMES_PER_TOKEN * width)
        self.unpacking = blocks(1)
        self.ctc_head_quantized = nn.Linear(width, config.symbols)
        self.style = nn.Sequential(
            nn.Linear(2 * config.mel_channels, width), nn.GELU(), nn.Linear(width, width)
        )
        self.decoder = blocks(config.decoder_layers)
        self.to_mel = nn.Linear(width, FRAMES_PER_CTC_FRAME * config.mel_channels)

    @property
    def codes(self) -> int:
        """Number of different tokens."""
        return self.quantizer.codes

    def forward(
        self,
        mel: Float[Tensor, "batch mels frames"],
        mel_lengths: Int[Tensor, " batch"],
        augmented: Float[Tensor, "batch mels frames"] | None = None,
    ) -> TokenizerOutputs:
        """Encode, quantize and rebuild.

        Args:
            mel: log-mel, nats; the style is pooled from it and the reconstruction aims at it.
            mel_lengths: valid frames.
            augmented: the same clips as `augment` returned them; if given, the content is read
                from here. Its warp is not in the style, so the tokens learn to ignore it.
        """
        frames = mel.shape[2]
        content = mel if augmented is None else augmented
        encoded, ctc_lengths = self._encode(content, mel_lengths)
        values, tokens = self._quantize(encoded, ctc_lengths)
        mask = length_mask(ctc_lengths, encoded.shape[1])
        x = self.up(values).unflatten(-1, (CTC_FRAMES_PER_TOKEN, -1)).flatten(1, 2)
        x = _apply(self.unpacking, x, mask)
        ctc_logits_quantized = self.ctc_head_quantized(x)
        x = _apply(self.decoder, x + self._pool_style(mel, mel_lengths)[:, None], mask)
        x = self.to_mel(x).unflatten(-1, (FRAMES_PER_CTC_FRAME, -1)).flatten(1, 2)
        reconstruction = x.transpose(1, 2)[..., :frames]
        return TokenizerOutputs(
            tokens=tokens,
            token_lengths=_ceil_divide(ctc_lengths, CTC_FRAMES_PER_TOKEN),
            ctc_logits=self.ctc_head(encoded),
            ctc_logits_quantized=ctc_logits_quantized,
            ctc_lengths=ctc_lengths,
            reconstruction=reconstruction * self.config.mel_std + self.config.mel_mean,
        )

    def features(
        self, mel: Float[Tensor, "batch mels frames"], mel_lengths: Int[Tensor, " batch"]
    ) -> tuple[Float[Tensor, "batch ctc_frames width"], Int[Tensor, " batch"]]:
        """What the CTC head reads the phonemes from, with gradients, and its lengths."""
        return self._encode(mel, mel_lengths)

    @torch.no_grad()
    def encode(
        self, mel: Float[Tensor, "batch mels frames"], mel_lengths: Int[Tensor, " batch"]
    ) -> tuple[
        Int[Tensor, "batch tokens"],
        Int[Tensor, " batch"],
        Float[Tensor, "batch ctc_frames symbols"],
        Int[Tensor, " batch"],
    ]:
        """Tokens of log-mels, without gradients.

        Returns:
            tokens, their lengths (ceil of frames / 4), the phoneme logits before quantization,
            and their lengths (ceil of frames / 2).
        """
        encoded, ctc_lengths = self._encode(mel, mel_lengths)
        _, tokens = self._quantize(encoded, ctc_lengths)
        token_lengths = _ceil_divide(ctc_lengths, CTC_FRAMES_PER_TOKEN)
        return tokens, token_lengths, self.ctc_head(encoded), ctc_lengths

    def _encode(
        self, mel: Float[Tensor, "batch mels frames"], mel_lengths: Int[Tensor, " batch"]
    ) -> tuple[Float[Tensor, "batch ctc_frames width"], Int[Tensor, " batch"]]:
        x = normalise_utterance(mel, length_mask(mel_lengths, mel.shape[2]), self.config.mel_std)
        x = F.pad(x, (0, -mel.shape[2] % FRAMES_PER_TOKEN))
        x = F.gelu(self.stem(x)).transpose(1, 2)
        ctc_lengths = _ceil_divide(mel_lengths, FRAMES_PER_CTC_FRAME)
        return _apply(self.encoder, x, length_mask(ctc_lengths, x.shape[1])), ctc_lengths

    def _quantize(
        self, encoded: Float[Tensor, "batch ctc_frames width"], ctc_lengths: Int[Tensor, " batch"]
    ) -> tuple[Float[Tensor, "batch tokens channels"], Int[Tensor, "batch tokens"]]:
        # A last token that is half filled must see zeros in its empty half, not padding's values.
        x = encoded * length_mask(ctc_lengths, encoded.shape[1])[..., None]
        x = self.down(x.unflatten(1, (-1, CTC_FRAMES_PER_TOKEN)).flatten(2))
        lengths = _ceil_divide(ctc_lengths, CTC_FRAMES_PER_TOKEN)
        x = _apply(self.bottleneck, x, length_mask(lengths, x.shape[1]))
        with torch.autocast(x.device.type, enabled=False):
            return self.quantizer(self.to_quantizer(x.float()))

    def _pool_style(
        self, mel: Float[Tensor, "batch mels frames"], mel_lengths: Int[Tensor, " batch"]
    ) -> Float[Tensor, "batch width"]:
        mask = length_mask(mel_lengths, mel.shape[2])[:, None]
        count = mel_lengths[:, None].clamp_min(1)
        x = (mel.float() - self.config.mel_mean) / self.config.mel_std
        mean = (x * mask).sum(2) / count
        variance = ((x - mean[..., None]).square() * mask).sum(2) / count
        return self.style(torch.cat((mean, (variance + 1e-5).sqrt()), 1))


def _apply(
    blocks: nn.ModuleList,
    x: Float[Tensor, "batch time channels"],
    mask: Bool[Tensor, "batch time"],
) -> Float[Tensor, "batch time channels"]:
    for block in blocks:
        x = block(x, mask)
    return x


def _ceil_divide(lengths: Int[Tensor, " batch"], divisor: int) -> Int[Tensor, " batch"]:
    return (lengths + divisor - 1) // divisor
