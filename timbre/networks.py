"""The networks of a voice, wired for training and for speech; no Lightning here."""

from __future__ import annotations

import math
from dataclasses import dataclass, field, replace
from typing import Any

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from data.errors import InputError
from data.mel import AudioConfig
from data.text.symbols import MARK_SIZES, SYMBOLS
from gpt.model import GPT, GPTConfig
from gpt.tokenizer import SemanticTokenizer, TokenizerConfig
from sovits.decoder import DecoderConfig, MelDecoder, build_decoder
from sovits.discriminator import MelDiscriminatorConfig
from sovits.speaker_encoder import SpeakerEncoder, SpeakerEncoderConfig
from vocoder.discriminators import WaveDiscriminatorConfig
from vocoder.generator import VocoderConfig, build_vocoder


@dataclass(frozen=True)
class ModelConfig:
    """Sizes and variants of all networks: a file of `configs/model`."""

    name: str = "nano"
    """Name of the size, for reports."""
    tokenizer: TokenizerConfig = field(default_factory=lambda: TokenizerConfig(len(SYMBOLS)))
    """Semantic tokenizer."""
    gpt: GPTConfig = field(
        default_factory=lambda: GPTConfig(len(SYMBOLS), list(MARK_SIZES.values()))
    )
    """Semantic encoder."""
    speaker_encoder: SpeakerEncoderConfig = field(default_factory=SpeakerEncoderConfig)
    """Variational speaker encoder."""
    decoder: DecoderConfig = field(default_factory=DecoderConfig)
    """Mel decoder."""
    vocoder: VocoderConfig = field(default_factory=VocoderConfig)
    """Waveform generator."""
    mel_discriminator: MelDiscriminatorConfig = field(default_factory=MelDiscriminatorConfig)
    """Multi-scale mel discriminators."""
    wave_discriminator: WaveDiscriminatorConfig = field(default_factory=WaveDiscriminatorConfig)
    """Waveform discriminators."""


def fitted(config: ModelConfig, audio: AudioConfig) -> ModelConfig:
    """The same sizes with everything filled in that follows from the audio and the symbol table.

    So that no number stands in two configuration files: mel geometry, symbols, codes, widths.
    """
    mel: dict[str, Any] = {
        "mel_channels": audio.mel_channels,
        "mel_mean": audio.mel_mean,
        "mel_std": audio.mel_std,
    }
    tokenizer = replace(config.tokenizer, symbols=len(SYMBOLS), **mel)
    gpt = replace(
        config.gpt,
        symbols=len(SYMBOLS),
        mark_sizes=list(MARK_SIZES.values()),
        codes=math.prod(tokenizer.fsq_levels),
        speaker_channels=config.speaker_encoder.speaker_channels,
    )
    return replace(
        config,
        tokenizer=tokenizer,
        gpt=gpt,
        speaker_encoder=replace(config.speaker_encoder, **mel),
        decoder=replace(
            config.decoder,
            semantic_channels=gpt.width,
            speaker_channels=gpt.speaker_channels,
            floor=audio.floor,
            sample_rate_hz=audio.sample_rate_hz,
            fft_samples=audio.fft_samples,
            fmin_hz=audio.fmin_hz,
            fmax_hz=audio.fmax_hz,
            **mel,
        ),
        mel_discriminator=replace(config.mel_discriminator, **mel),
    )


class SoVITS(nn.Module):
    """The variational speaker encoder and the mel decoder: one module of `train.modules`."""

    def __init__(self, speaker_encoder: SpeakerEncoder, decoder: MelDecoder) -> None:
        super().__init__()
        self.speaker_encoder = speaker_encoder
        self.decoder = decoder

    def forward(
        self,
        reference: Float[Tensor, "batch mels frames"],
        reference_lengths: Int[Tensor, " batch"],
    ) -> Float[Tensor, "batch channels"]:
        """The voice of each reference mel: z_spk at the posterior mean."""
        z_spk: Tensor = self.speaker_encoder(reference, reference_lengths).z_spk
        return z_spk


class Networks(nn.Module):
    """Tokenizer, GPT, SoVITS and vocoder: all that a bundle holds.

    `alignment_prior` [symbols] is the log-share of each symbol in what the tokenizer hears; forced
    alignment divides it away.

    Args:
        config: Sizes and variants, made to fit the audio by `fitted`.
        audio: Geometry of the mel.

    Raises:
        InputError: Sizes that do not fit each other or the audio.
    """

    alignment_prior: Tensor

    def __init__(self, config: ModelConfig, audio: AudioConfig) -> None:
        super().__init__()
        try:
            config = fitted(config, audio)
            self.tokenizer = SemanticTokenizer(config.tokenizer)
            self.gpt = GPT(config.gpt)
            decoder = build_decoder(config.decoder)
            self.sovits = SoVITS(SpeakerEncoder(config.speaker_encoder), decoder)
            self.vocoder = build_vocoder(config.vocoder, audio)
        except ValueError as error:
            raise InputError(f"model: {error}") from error
        self.config = config
        self.register_buffer("alignment_prior", torch.zeros(config.tokenizer.symbols))

    @property
    def can_tokenize(self) -> bool:
        """Whether the tokenizer was trained (its alignment prior has been measured)."""
        return bool(self.alignment_prior.any())

    def parameter_counts(self) -> dict[str, int]:
        """Number of parameters of each module."""
        return {
            name: sum(parameter.numel() for parameter in module.parameters())
            for name, module in self.named_children()
        }
