"""Sound while GPT is still writing: decoder and vocoder work on windows of what is there.

What a window computes near its edges, where it lacks its surroundings, is thrown away. Windows of
the vocoder and of the regression decoder are exact. The flow of `flow_matching` reaches further
than is worth waiting for: its windows look `LOOK_AHEAD_TOKENS` ahead, which is the one difference
from speaking at once.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from data.mel import FRAMES_PER_TOKEN
from data.text.frontend import Phonemes
from gpt.decoding import Generated
from gpt.sampling import SamplingConfig
from sovits.decoder import DecoderConfig
from timbre.networks import Networks
from timbre.speech import longest_tokens, paced, padded, sources
from vocoder.excitation import upsample_f0
from vocoder.interface import Vocoder
from vocoder.prior_istft import PriorISTFTGenerator

LOOK_AHEAD_TOKENS = 16
"""Tokens that a window of the flow sees before and after what it is kept for (0.68 s)."""
_WINDOWED = ("regression", "flow_matching")
"""Decoders that can work on windows; the noise of others depends on the whole sentence."""
_HIFIGAN_FRAMES = 24
"""Further than any generator of the paper reaches: V1 sees 14 frames to each side."""
_CHUNK_TOKENS = (4, 8, 16, 32)
"""New tokens of the first windows, and of all that follow: small to begin early, then large."""


@dataclass
class Noise:
    """A generator's normal numbers, readable from any position that has been passed.

    torch fills a tensor from its front, in blocks of 16: what `randn` draws in one call, it draws
    in several calls too, if all but the last take multiples of 16.

    Args:
        generator: Source of the numbers; on the CPU.
        numbers: How many belong to one step.
    """

    generator: torch.Generator
    numbers: int

    def __post_init__(self) -> None:
        self._states = [self.generator.get_state()]

    def at(self, step: int) -> torch.Generator:
        """The generator, set to the numbers of a step."""
        while len(self._states) <= step:
            self.generator.set_state(self._states[-1])
            torch.randn(self.numbers, generator=self.generator, device=self.generator.device)
            self._states.append(self.generator.get_state())
        self.generator.set_state(self._states[step])
        return self.generator


def decoder_reach(config: DecoderConfig) -> int:
    """Tokens that the mel of one token depends on, on either side (of the flow: as many as count).

    Each block sees half a kernel further, at token rate, twice that, and four times.
    """
    half_kernels = config.token_layers + config.half_layers / 2 + config.frame_layers / 4
    reach = math.ceil(half_kernels * (config.kernel // 2))
    return reach if config.kind == "regression" else max(reach, LOOK_AHEAD_TOKENS)


def vocoder_reach(vocoder: Vocoder) -> tuple[int, int]:
    """Frames that the pitch of one frame, and beyond that its sound, depend on, on either side."""
    if not isinstance(vocoder, PriorISTFTGenerator):
        return 0, _HIFIGAN_FRAMES
    config, pitch = vocoder.config, vocoder.config.pitch
    network = 3 + config.layers * (config.kernel_frames // 2)
    # A frame of the STFT hears 2 hops to each side, and a sample comes from as many frames. Pulses
    # follow the pitch of the next frame too, and are in phase after the first frame of a window.
    transforms = 6 + 4 * config.consistency_steps
    return pitch.layers * (pitch.kernel_frames // 2), network + transforms


class WindowedDecoder:
    """A mel decoder that is given latents as they come.

    Args:
        networks: In evaluation mode.
        z_spk: The voice.
        generator: Of the decoder's noise.
    """

    def __init__(self, networks: Networks, z_spk: Tensor, generator: torch.Generator) -> None:
        self._decoder = networks.sovits.decoder
        self._z_spk = z_spk
        self._noise = Noise(generator, FRAMES_PER_TOKEN * networks.config.decoder.mel_channels)
        self._reach = decoder_reach(networks.config.decoder)
        self._waits = networks.config.decoder.kind not in _WINDOWED
        self._done = 0

    def __call__(
        self, latents: Float[Tensor, "1 tokens width"], final: bool
    ) -> Float[Tensor, "1 mels frames"] | None:
        """The next frames, given all latents so far; None where nothing is certain yet."""
        count = latents.shape[1]
        ready = count if final else 0 if self._waits else count - self._reach
        if ready <= self._done:
            return None
        start = 0 if self._waits else max(0, self._done - self._reach)
        window = latents[:, start:]
        size = torch.tensor([window.shape[1]], device=latents.device)
        mel = self._decoder.sample(window, size, self._z_spk, self._noise.at(start)).float()
        first, self._done = self._done, ready
        return mel[:, :, FRAMES_PER_TOKEN * (first - start) : FRAMES_PER_TOKEN * (ready - start)]


class WindowedVocoder:
    """A vocoder that is given mel frames as they come; equal to the whole.

    Args:
        networks: In evaluation mode.
        generator: Of the vocoder's noise.
    """

    def __init__(self, networks: Networks, generator: torch.Generator) -> None:
        self._vocoder = networks.vocoder
        self._audio = networks.vocoder.audio
        self._noise = Noise(generator, self._audio.hop_samples)
        self._pitch_reach, self._reach = vocoder_reach(networks.vocoder)
        self._done = 0

    def __call__(
        self, mel: Float[Tensor, "1 mels frames"], final: bool
    ) -> Float[Tensor, "1 samples"] | None:
        """The next samples, given all frames so far; None where nothing is certain yet."""
        hop, count = self._audio.hop_samples, mel.shape[2]
        known = count if final else count - self._pitch_reach
        ready = count if final else known - self._reach
        if ready <= self._done:
            return None
        start = max(0, self._done - self._reach)
        f0 = phase = None
        if isinstance(self._vocoder, PriorISTFTGenerator):
            f0 = self._vocoder.pitch.predict(mel)[:, :known]
            phase = self._phase(f0, start)
            f0 = f0[:, start:]
        window = mel[:, :, start:known]
        audio = self._vocoder(window, f0, self._noise.at(start), start_phase=phase)
        first, self._done = self._done, ready
        return audio[:, (first - start) * hop : (ready - start) * hop].float().clamp(-1.0, 1.0)

    def _phase(self, f0: Tensor, start: int) -> Float[Tensor, " 1"]:
        """Cycles before the window, such that it is in phase from the end of its first frame on.

        Inside its first frame a window's pitch differs: it does not know where that comes from.
        """
        hop, rate = self._audio.hop_samples, self._audio.sample_rate_hz
        if start == 0:
            return torch.zeros(1, device=f0.device)
        whole = upsample_f0(f0[:, : start + 2], hop)[:, : (start + 1) * hop]
        alone = upsample_f0(f0[:, start : start + 2], hop)[:, :hop]
        return ((whole.double().sum(1) - alone.double().sum(1)) / rate).remainder(1.0)


class PieceStream:
    """One piece of a text, spoken in chunks.

    Args:
        networks: In evaluation mode.
        phonemes: The piece.
        z_spk: The voice.
        sampling: How GPT samples.
        generator: All randomness, on the CPU: gives what `speak` gives with the same one.
        speed: 2 speaks twice as fast.
    """

    def __init__(
        self,
        networks: Networks,
        phonemes: Phonemes,
        z_spk: Float[Tensor, "1 channels"],
        sampling: SamplingConfig,
        generator: torch.Generator,
        speed: float = 1.0,
    ) -> None:
        self._networks, self._speed = networks, speed
        writing, decoding, vocoding = sources(generator)
        self._decoder = WindowedDecoder(networks, z_spk, decoding)
        self._vocoder = WindowedVocoder(networks, vocoding)
        ids, marks, lengths = padded([phonemes], z_spk.device)
        with torch.inference_mode():
            self._writer = networks.gpt.writer(
                ids, marks, lengths, z_spk, sampling, writing, longest_tokens(ids[0])[None]
            )
        self._latents = torch.zeros(1, 0, networks.config.gpt.width, device=z_spk.device)
        self._mel = torch.zeros(1, networks.config.decoder.mel_channels, 0, device=z_spk.device)

    def chunks(self) -> Iterator[np.ndarray]:
        """The audio, chunk by chunk."""
        frames = sum(vocoder_reach(self._networks.vocoder))
        waited = decoder_reach(self._networks.config.decoder) + -(-frames // FRAMES_PER_TOKEN)
        wanted, number, going = waited + _CHUNK_TOKENS[0], 0, True
        while going:
            going = self._write(round(wanted * self._speed))
            audio = self._sound(final=not going)
            if audio is not None:
                yield audio[0].cpu().numpy()
            number += 1
            wanted += _CHUNK_TOKENS[min(number, len(_CHUNK_TOKENS) - 1)]

    def written(self) -> Generated:
        """What GPT wrote, when all chunks have been taken."""
        with torch.inference_mode():
            return self._writer.written(self._networks.config.gpt.layout == "interleaved")

    @torch.inference_mode()
    def _write(self, tokens: int) -> bool:
        """Lets GPT write until there are so many; False when it has ended."""
        fresh, count, going = list[Tensor](), self._latents.shape[1], True
        while going and count < tokens:
            going = self._writer.step()
            fresh.append(self._writer.take())
            count += fresh[-1].shape[1]
        self._latents = torch.cat([self._latents, *fresh], dim=1)
        return going

    @torch.inference_mode()
    def _sound(self, final: bool) -> Tensor | None:
        """The next samples, of all that has been written."""
        count, speed = self._latents.shape[1], self._speed
        x = paced(self._latents, speed)
        if not final and speed != 1.0:
            # The last ones wait for the latent after them.
            x = x[:, : min(x.shape[1], max(0, int((count - 1.5) / speed)))]
        mel = self._decoder(x, final)
        if mel is not None:
            self._mel = torch.cat([self._mel, mel], dim=2)
        return self._vocoder(self._mel, final)
