"""Samples to frames of codes and back as streams, in one canonical shape: neither depends on how what comes in is cut.

Each channel is computed by itself, a block of frames at a time, with the frames before it that a frame may depend on.
"""

from collections.abc import Iterable, Iterator
from typing import Protocol, cast

import torch
from torch import Tensor, nn

from codec.quantizers import Quantizer


class SoundBackbone(Protocol):
    """Half of an autoencoder: `hop` samples a frame, which may depend on `past` frames before it and `future` after it."""

    hop: int
    past: int
    future: int

    def __call__(self, x: Tensor) -> Tensor:
        """`(B, 1, T * hop)` to `(B, D, T)`, or back."""


def device_of(module: object) -> torch.device:
    """Where a module's weights are."""
    return next(cast(nn.Module, module).parameters()).device


class Blocks:
    """Cuts what comes in pieces `(C, n, …)` into blocks with what lies before them; before the start lie zeros.

    Args:
        past: how much of it.
        block: length of a block without its past.

    Attributes:
        count: how much came in.
    """

    def __init__(self, past: int, block: int) -> None:
        self._past, self._block = past, block
        self._held: Tensor | None = None
        self.count = 0

    def push(self, piece: Tensor) -> Iterator[Tensor]:
        """The blocks `(C, past + block, …)` that are whole by now."""
        held = piece.new_zeros(piece.shape[0], self._past, *piece.shape[2:]) if self._held is None else self._held
        self._held = torch.cat([held, piece], 1)
        self.count += piece.shape[1]
        while self._held.shape[1] >= self._past + self._block:
            yield self._held[:, : self._past + self._block]
            self._held = self._held[:, self._block :]

    def fill(self, count: int) -> Iterator[Tensor]:
        """The same for so many zeros behind what came."""
        if self._held is not None:
            yield from self.push(self._held.new_zeros(self._held.shape[0], count, *self._held.shape[2:]))


class FrameEncoder:
    """Samples of one sound to codes.

    Args:
        encoder: a backbone with `hop` and `past`, causal.
        quantizer: of its latents.
        channels: C.
        block: frames computed at once.
        delay: frames after the last sample, of which a decoder makes it whole.
    """

    def __init__(self, encoder: SoundBackbone, quantizer: Quantizer, *, channels: int, block: int, delay: int) -> None:
        self._encoder, self._quantizer, self._delay, self._block = encoder, quantizer, delay, block
        self._blocks = Blocks(encoder.past * encoder.hop, block * encoder.hop)
        self._nothing = torch.zeros(channels, 0, len(quantizer.codebook_sizes), dtype=torch.int64)
        self._done = 0

    def push(self, samples: Tensor) -> Tensor:
        """Samples float `(C, n)`, full scale 1, to the codes int64 `(C, frames, Q)` of the blocks that are whole by now."""
        return self._codes(self._blocks.push(samples))

    def finish(self, unit: int = 1) -> Tensor:
        """The codes of what is left, and of silence until the number of all frames is a multiple of `unit`."""
        hop, count, done = self._encoder.hop, self._blocks.count, self._done
        frames = -(-count // hop) + self._delay
        frames += -frames % unit
        filled = frames + -frames % self._block
        return self._codes(self._blocks.fill(filled * hop - count))[:, : frames - done]

    @torch.inference_mode()
    def _codes(self, windows: Iterable[Tensor]) -> Tensor:
        """Windows `(C, (past + block) * hop)` to `(C, frames, Q)`: networks channel by channel, so that none changes another.

        Codes do not depend on what is quantized with them, so all windows are together.
        """
        latents = [torch.stack([self._latents(channel) for channel in window]) for window in windows]
        self._done += len(latents) * self._block
        return self._quantizer.encode(torch.cat(latents, 1)).cpu() if latents else self._nothing

    def _latents(self, samples: Tensor) -> Tensor:
        """`((past + block) * hop,)` to `(block, D)`."""
        return self._encoder(samples[None, None].to(device_of(self._encoder)))[0, :, self._encoder.past :].T


class FrameDecoder:
    """Vectors of one sound to samples, which come `future` frames later than their vectors.

    Args:
        decoder: a backbone with `hop`, `past` and `future`.
        channels: C.
        block: frames computed at once.
    """

    def __init__(self, decoder: SoundBackbone, *, channels: int, block: int) -> None:
        self._decoder, self._block = decoder, block
        self._blocks = Blocks(decoder.past + decoder.future, block)
        self._early = decoder.future * decoder.hop  # samples of before the start, which come first
        self._nothing = torch.zeros(channels, 0)
        self._done = 0

    def push(self, vectors: Tensor) -> Tensor:
        """Vectors `(C, n, D)` to the samples `(C, m)` of the blocks that are whole by now."""
        return self._samples(self._blocks.push(vectors))

    def finish(self) -> Tensor:
        """The samples that are left: in all `(n - future) * hop`."""
        count, done = self._blocks.count, self._done
        left = max(0, count - self._decoder.future) * self._decoder.hop - done
        return self._samples(self._blocks.fill(-count % self._block))[:, :left]

    @torch.inference_mode()
    def _samples(self, windows: Iterable[Tensor]) -> Tensor:
        """Windows `(C, past + future + block, D)` to `(C, m)`."""
        samples = [torch.stack([self._channel_samples(channel) for channel in window]) for window in windows]
        whole = torch.cat([self._nothing, *samples], 1)
        early = min(self._early, whole.shape[1])
        self._early -= early
        self._done += whole.shape[1] - early
        return whole[:, early:]

    def _channel_samples(self, vectors: Tensor) -> Tensor:
        hop, past = self._decoder.hop, self._decoder.past
        samples = self._decoder(vectors.T[None].to(device_of(self._decoder)))
        return samples[0, 0, past * hop : (past + self._block) * hop].cpu()


def to_middle_and_side(samples: Tensor) -> Tensor:
    """Two channels `(2, n)` to their mean and half their difference; of other numbers each stays as it is."""
    if len(samples) != 2:
        return samples
    left, right = samples
    return torch.stack([(left + right) / 2, (left - right) / 2])


def from_middle_and_side(samples: Tensor) -> Tensor:
    """The way back."""
    if len(samples) != 2:
        return samples
    middle, side = samples
    return torch.stack([middle + side, middle - side])
