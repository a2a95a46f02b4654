"""Scenes of video: frames to the codes of their groups and back, one group computed at a time.

A scene is a stretch of frames in a row, from a cut or after so many: what both networks have seen begins anew there, so it can be
decoded by itself. Its first frame is a group alone, so that a picture is a video of one frame; all others have as many as the
encoder takes.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import torch
from torch import Tensor
from torch.nn import functional as F

from codec.quantizers import Quantizer

State = Any  # what a causal network has seen: its own affair


class CausalNetwork(Protocol):
    """Half of an autoencoder: `group` frames of `stride` pixels a side to a position, given what came before.

    Attributes:
        stride: pixels a position.
        group: frames a position.
    """

    stride: int
    group: int

    def __call__(self, x: Tensor, state: State = None) -> tuple[Tensor, State]:
        """Frames `(B, 3, G * group, H, W)` to latents `(B, D, G, h, w)`, or back, and the state after them."""


class SceneModel(Protocol):
    """What scenes need of a tokenizer.

    Attributes:
        encoder: frames to latents.
        quantizer: latents to codes.
        decoder: the way back.
        stride: pixels of a position.
        group: frames of a position.
        device: of the networks.
    """

    encoder: CausalNetwork
    quantizer: Quantizer
    decoder: CausalNetwork
    stride: int
    group: int

    @property
    def device(self) -> torch.device:
        """Of the networks."""


class SceneEncoder:
    """Frames of one scene to the codes of its groups, one group computed at a time.

    Args:
        model: of the codec.
    """

    def __init__(self, model: SceneModel) -> None:
        self._model, self._state = model, None
        self._waiting: list[Tensor] = []
        self._started = False

    def push(self, frame: Tensor) -> list[Tensor]:
        """A frame `(3, H, W)` to codes int64 `(h, w, Q)`, if it completes a group."""
        self._waiting.append(frame)
        if self._started and len(self._waiting) < self._model.group:
            return []
        return [self._codes()]

    def finish(self) -> list[Tensor]:
        """The group that is open, filled up by its last frame, if there is one."""
        return [self._codes()] if self._waiting else []

    @torch.inference_mode()
    def _codes(self) -> Tensor:
        model = self._model
        frames = [*self._waiting, *[self._waiting[-1]] * (model.group - len(self._waiting))]
        self._waiting, self._started = [], True
        pixels = torch.stack(frames, 1)[None].to(model.device)
        pixels = pixels.float() / 255 if pixels.dtype == torch.uint8 else pixels
        down, right = (-side % model.stride for side in pixels.shape[-2:])
        padded = F.pad(pixels[0], (0, right, 0, down), mode="replicate")[None]
        latents, self._state = model.encoder(padded, self._state)
        return model.quantizer.encode(latents[0, :, 0].movedim(0, -1)).cpu()


class SceneDecoder:
    """The way back.

    Args:
        model: of the codec.
    """

    def __init__(self, model: SceneModel) -> None:
        self._model, self._state = model, None
        self._started = False

    @torch.inference_mode()
    def push(self, codes: Tensor) -> Tensor:
        """Codes int64 `(h, w, Q)` of a group to its frames `(3, n, H, W)` in [0, 1]: one of the first group, which is a frame alone."""
        model = self._model
        vectors = model.quantizer.decode(codes.to(model.device)).movedim(-1, 0)[None, :, None]
        frames, self._state = model.decoder(vectors, self._state)
        first, self._started = 0 if self._started else model.group - 1, True
        return frames[0, :, first:].clamp(0, 1).cpu()


@dataclass(frozen=True)
class Layer:
    """The codes of one group of frames.

    Attributes:
        codes: int64 `(h, w, Q)`.
        frames: how many it stands for.
        begins: whether a scene begins with it.
    """

    codes: Tensor
    frames: int
    begins: bool


@dataclass(frozen=True)
class Scene:
    """The codes of one scene.

    Attributes:
        codes: int64 `(Q, layers, h, w)`.
        frames: how many it has.
    """

    codes: Tensor
    frames: int

    @classmethod
    def of(cls, layers: Sequence[Layer]) -> "Scene":
        """Its layers put together."""
        return cls(torch.stack([layer.codes for layer in layers]).movedim(-1, 0), sum(layer.frames for layer in layers))

    def layers(self, group: int) -> Iterator[Layer]:
        """The way back."""
        left = self.frames
        for t, codes in enumerate(self.codes.movedim(0, -1)):
            count = min(left, group if t else 1)
            yield Layer(codes, count, t == 0)
            left -= count
