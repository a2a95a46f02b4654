"""Low-bit weights: a few bits a weight on disk, a scale a channel, and the float network again once loaded.

Symmetric integers per output channel with a clip searched for the least squared error, as in Nagel et al. 2021, "A White Paper on
Neural Network Quantization", arXiv:2106.08295.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Protocol, cast

import torch
from torch import Tensor, nn

WIDTHS = (2, 3, 4, 5, 6, 8)  # bits that a weight may have
CLIPS = 60  # how many clipping points are tried for each channel
LEAST_CLIP = 0.35  # of the largest weight; at 2 bits the best clip of Gaussian rows lies near 0.4
LAYERS = (nn.Conv2d, nn.Linear, nn.ConvTranspose2d)
GEOMETRY = ("stride", "halo", "hop", "past", "future")  # what transforms of pictures and of sound say of themselves


class Transform(Protocol):
    """A network."""

    def get_submodule(self, target: str) -> nn.Module:
        """As of any `nn.Module`."""


@dataclass(frozen=True)
class LowBitWeight:
    """Integers and what one of them is worth.

    Attributes:
        codes: int8, in the shape of the weight, from `-top` to `top`.
        scale: bfloat16 `(channels,)`, one step of each output channel.
        axis: of the weight's axes the one that counts output channels.
        bits: of one code.
    """

    codes: Tensor
    scale: Tensor
    axis: int
    bits: int

    def weight(self) -> Tensor:
        """The float weight that the integers stand for."""
        shape = [-1 if i == self.axis else 1 for i in range(self.codes.ndim)]
        return self.codes.float() * self.scale.float().reshape(shape)


class LowBit(nn.Module):
    """A transform whose weights are stored in few bits; it computes in floats, as the transform it wraps.

    Each listed layer keeps `packed` integers and their `scale` in place of its weight; all else is stored as it is. What only
    synthesis sees is no part of a model's coding hash, so the same files decode.

    Args:
        module: the transform; its own weights are rounded, which loading a state then replaces.
        bits: width of the weights of each layer by its name inside `module`; layers not named stay as they are.

    Attributes:
        stride, halo: of a transform of pictures.
        hop, past, future: of a transform of sound.
    """

    stride: int
    halo: int
    hop: int
    past: int
    future: int

    def __init__(self, module: Transform, *, bits: Mapping[str, int]) -> None:
        super().__init__()
        self.module = module
        for name in GEOMETRY:
            if hasattr(module, name):
                setattr(self, name, getattr(module, name))
        self.bits = dict(bits)
        for name, width in self.bits.items():
            layer = layer_named(module, name)
            rounded = round_weight(layer.weight.detach(), width, channel_axis(layer))
            del layer.weight
            layer.register_buffer("weight", torch.empty(rounded.codes.shape), persistent=False)
            layer.register_buffer("packed", torch.empty(0, dtype=torch.uint8))
            layer.register_buffer("scale", rounded.scale)
            self.store(name, rounded)
        self.register_load_state_dict_post_hook(_restore)

    def forward(self, *inputs: Tensor) -> Tensor:
        """As the transform inside."""
        return cast(nn.Module, self.module)(*inputs)

    @torch.no_grad()
    def store(self, name: str, rounded: LowBitWeight) -> None:
        """Give a layer these integers."""
        layer = layer_named(self.module, name)
        if rounded.bits != self.bits[name] or rounded.codes.shape != layer.weight.shape:
            expected = f"{self.bits[name]} bits {tuple(layer.weight.shape)}"
            raise ValueError(f"layer {name} takes {expected}, got {rounded.bits} bits {tuple(rounded.codes.shape)}")
        layer.packed = pack(rounded.codes, rounded.bits)
        layer.scale.copy_(rounded.scale)  # type: ignore[operator]
        layer.weight.copy_(rounded.weight())

    def stored(self, name: str) -> LowBitWeight:
        """The integers of a layer."""
        layer = layer_named(self.module, name)
        codes = unpack(cast(Tensor, layer.packed), self.bits[name], layer.weight.numel()).reshape(layer.weight.shape)
        return LowBitWeight(codes, cast(Tensor, layer.scale), channel_axis(layer), self.bits[name])


def plain_state(network: nn.Module) -> dict[str, Tensor]:
    """The state of a network as the same takes it whose weights have all their bits."""
    if not isinstance(network, LowBit):
        return network.state_dict()
    module = cast(nn.Module, network.module)
    packed = {f"{name}.{part}" for name in network.bits for part in ("packed", "scale")}
    weights = {f"{name}.weight": layer_named(module, name).weight for name in network.bits}
    return {name: tensor for name, tensor in module.state_dict().items() if name not in packed} | weights


def low_bit_layers(module: nn.Module) -> Iterator[tuple[str, nn.Conv2d | nn.Linear | nn.ConvTranspose2d]]:
    """Layers whose weights may be stored in few bits, by name."""
    for name, layer in module.named_modules():
        if isinstance(layer, LAYERS):
            yield name, layer


def layer_named(module: Transform | nn.Module, name: str) -> nn.Conv2d | nn.Linear | nn.ConvTranspose2d:
    """The layer of that name."""
    layer = module.get_submodule(name)
    if not isinstance(layer, LAYERS):
        raise ValueError(f"{name} is a {type(layer).__name__}; low-bit weights are for convolutions and linear maps")
    return layer


def channel_axis(layer: nn.Module) -> int:
    """The axis of a layer's weight that counts output channels."""
    return 1 if isinstance(layer, nn.ConvTranspose2d) else 0


def stored_bytes(layer: nn.Conv2d | nn.Linear | nn.ConvTranspose2d, bits: int) -> int:
    """Of a layer's weight in a checkpoint: packed integers and scales; at 16 bits the floats that are stored else."""
    count = layer.weight.numel()
    return 2 * count if bits == 16 else -(-count * bits // 8) + 2 * layer.weight.shape[channel_axis(layer)]


@torch.no_grad()
def round_weight(weight: Tensor, bits: int, axis: int = 0, scale: Tensor | None = None) -> LowBitWeight:
    """The nearest low-bit weight, for the best scales or for given ones `(channels,)`."""
    if bits not in WIDTHS:
        raise ValueError(f"weights have {WIDTHS} bits, not {bits}")
    rows = weight.movedim(axis, 0).flatten(1).float()
    top = 2 ** (bits - 1) - 1
    scale = _best_scale(rows, top) if scale is None else scale.bfloat16()
    codes = _codes(rows, scale, top).reshape(weight.movedim(axis, 0).shape).movedim(0, axis)
    return LowBitWeight(codes.contiguous(), scale, axis, bits)


def pack(codes: Tensor, bits: int) -> Tensor:
    """Signed integers of `bits` bits in a row of bytes, lowest bit first."""
    unsigned = codes.flatten().to(torch.int16) + 2 ** (bits - 1)
    digits = (unsigned[:, None] >> torch.arange(bits, device=codes.device)) & 1
    padded = nn.functional.pad(digits.flatten(), (0, -digits.numel() % 8)).reshape(-1, 8)
    return (padded << torch.arange(8, device=codes.device)).sum(1).to(torch.uint8)


def unpack(packed: Tensor, bits: int, count: int) -> Tensor:
    """The way back: int8 `(count,)`."""
    if len(packed) != -(-count * bits // 8):
        raise ValueError(f"{count} weights of {bits} bits take {-(-count * bits // 8)} bytes, got {len(packed)}")
    digits = ((packed[:, None].to(torch.int16) >> torch.arange(8, device=packed.device)) & 1).flatten()
    digits = digits[: count * bits].reshape(count, bits)
    return ((digits << torch.arange(bits, device=packed.device)).sum(1) - 2 ** (bits - 1)).to(torch.int8)


def _best_scale(rows: Tensor, top: int) -> Tensor:
    """Of the clips tried, the one with the least squared error for each row."""
    peaks = rows.abs().amax(1).clamp_min(1e-12)
    best, least = (peaks / top).bfloat16(), torch.full_like(peaks, torch.inf)
    for clip in torch.linspace(LEAST_CLIP, 1, CLIPS):
        scale = (peaks * clip / top).bfloat16()
        errors = (_codes(rows, scale, top) * scale.float()[:, None] - rows).square().sum(1)
        best, least = torch.where(errors < least, scale, best), torch.minimum(errors, least)
    return best


def _codes(rows: Tensor, scale: Tensor, top: int) -> Tensor:
    return (rows / scale.float()[:, None]).round().clamp(-top, top).to(torch.int8)


def _restore(module: nn.Module, _: object) -> None:
    """After a state was loaded: the float weights that its integers stand for."""
    low = cast(LowBit, module)
    with torch.no_grad():
        for name in low.bits:
            layer_named(low.module, name).weight.copy_(low.stored(name).weight())
