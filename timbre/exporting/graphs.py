"""GPT and decoder as modules of one sentence whose sizes may all change: what ONNX can hold."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from jaxtyping import Float, Int
from torch import Tensor, nn

from gpt.model import GPT
from gpt.transformer import ROTARY_BASE, GatedOutput, TransformerBlock
from sovits.decoder import MelDecoder
from sovits.flow_matching import FlowMatchingDecoder
from sovits.regression import RegressionDecoder

_EPSILON = torch.finfo(torch.float32).eps


class PromptGraph(nn.Module):
    """Phonemes, marks and voice to what every step reads.

    Args:
        gpt: The language model.
    """

    def __init__(self, gpt: GPT) -> None:
        super().__init__()
        self.gpt = gpt

    def forward(
        self,
        phonemes: Int[Tensor, "1 phonemes"],
        marks: Int[Tensor, "1 phonemes marks"],
        z_spk: Float[Tensor, "1 channels"],
    ) -> tuple[Float[Tensor, "phonemes_and_none width"], Float[Tensor, "1 width"]]:
        """The vector of each phoneme and of none, the speaker's added; and the speaker's."""
        mask = torch.ones_like(phonemes, dtype=torch.bool)
        speaker = self.gpt.speaker(z_spk)
        context = F.pad(self.gpt.phoneme_encoder(phonemes, marks, mask), (0, 0, 0, 1))
        return context[0] + speaker, speaker


class StepGraph(nn.Module):
    """One position of the language model, with keys and values of the earlier ones.

    Args:
        gpt: The language model.
    """

    def __init__(self, gpt: GPT) -> None:
        super().__init__()
        self.gpt = gpt
        channels = gpt.transformer.head_channels
        index = torch.arange(0, channels, 2, dtype=torch.float32)
        self.register_buffer("speeds", ROTARY_BASE ** (-index / channels), persistent=False)

    def forward(
        self,
        x: Float[Tensor, "1 width"],
        position: Int[Tensor, " 1"],
        past: Float[Tensor, "layers 2 heads past channels"],
    ) -> tuple[Float[Tensor, " choices"], Float[Tensor, "1 width"], Tensor]:
        """Scores of the next choice, the hidden state, and keys and values with this position's."""
        angles = position.to(torch.float32)[:, None] * self.get_buffer("speeds")
        cos, sin = angles.cos(), angles.sin()
        present = []
        for index, block in enumerate(self.gpt.transformer.blocks):
            assert isinstance(block, TransformerBlock)
            attention = block.attention
            normed = _rms_norm(x, block.attention_norm.weight)
            query, key, value = attention.qkv(normed).view(3, attention.heads, -1).unbind(0)
            query, key = _rotate(query, cos, sin), _rotate(key, cos, sin)
            keys = torch.cat((past[index, 0], key[:, None]), 1)
            values = torch.cat((past[index, 1], value[:, None]), 1)
            scores = (query[:, None] @ keys.transpose(1, 2)) * query.shape[-1] ** -0.5
            x = x + attention.out((scores.softmax(-1) @ values).view(1, -1))
            layer, normed = block.feed_forward, _rms_norm(x, block.feed_forward_norm.weight)
            x = x + GatedOutput.apply(layer.gate_and_value(normed)[None], layer.out.weight)[0]
            present.append(torch.stack((keys, values)))
        hidden = _rms_norm(x, self.gpt.transformer.norm.weight)
        return self.gpt.head(hidden)[0], hidden, torch.stack(present)


class DecoderGraph(nn.Module):
    """Latents, voice and start noise to a mel; the noise changes nothing where there is no flow.

    Args:
        decoder: Of the kind regression or flow_matching.
    """

    def __init__(self, decoder: MelDecoder) -> None:
        super().__init__()
        self.decoder = decoder

    def forward(
        self,
        z_sem: Float[Tensor, "1 tokens width"],
        z_spk: Float[Tensor, "1 channels"],
        noise: Float[Tensor, "1 4*tokens mels"],
    ) -> Float[Tensor, "1 mels 4*tokens"]:
        """What `MelDecoder.sample` gives with this noise."""
        decoder, config = self.decoder, self.decoder.config
        assert isinstance(decoder, RegressionDecoder | FlowMatchingDecoder)
        size = torch._shape_as_tensor(z_sem)[1:2].to(z_sem.device)
        outputs = decoder.trunk(z_sem, size, z_spk)
        x = outputs.mel + 0 * noise
        if isinstance(decoder, FlowMatchingDecoder):
            known = decoder.field.known(z_sem, outputs.hidden, outputs.mel)
            mask = torch.ones_like(noise[..., 0], dtype=torch.bool)
            residual = config.sampling_noise * noise
            for step in range(config.steps):
                time = torch.full((1,), step / config.steps)
                change = decoder.velocity(residual, time, known, z_spk, mask)
                residual = residual + change / config.steps
            x = x + config.residual_scale * residual
        mel = (x * config.mel_std + config.mel_mean).transpose(1, 2)
        return mel.clamp(min=config.log_floor)


def _rms_norm(x: Tensor, weight: Tensor) -> Tensor:
    return x * torch.rsqrt(x.square().mean(-1, keepdim=True) + _EPSILON) * weight


def _rotate(x: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
    first, second = x.chunk(2, -1)
    return torch.cat((first * cos - second * sin, first * sin + second * cos), -1)
