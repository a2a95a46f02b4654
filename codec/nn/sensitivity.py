"""What each width of each layer costs: squared error against the float transform, measured one layer at a time.

Hubara et al. 2020, arXiv:2006.10518. The damage of an example is relative to the error that its picture has already, so that damages
of all qualities weigh alike: a damage of 0.01 is 10 log10(1.01) = 0.043 dB.
"""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from codec.nn.allocation import WidthOption
from codec.nn.low_bit import WIDTHS, channel_axis, layer_named, low_bit_layers, round_weight, stored_bytes

KEPT = 16  # bits of a layer that stays as it is; its damage counts as none


@dataclass(frozen=True)
class Example:
    """One call of a transform.

    Attributes:
        inputs: its arguments.
        error: mean squared error of the picture that the float transform makes, samples in [0, 1].
    """

    inputs: tuple[Tensor, ...]
    error: float


def damage_of_db(loss_db: float) -> float:
    """The relative increase of a squared error that costs so many dB."""
    return 10 ** (loss_db / 10) - 1


def db_of_damage(damage: float) -> float:
    """The way back."""
    return 10 * math.log10(1 + damage)


@torch.inference_mode()
def damage(changed: nn.Module, examples: Sequence[Example], originals: Sequence[Tensor]) -> float:
    """Mean over examples of the squared change of the output over the error that was there."""
    changes = [
        float((changed(*example.inputs) - original).square().mean()) / example.error
        for example, original in zip(examples, originals, strict=True)
    ]
    return sum(changes) / len(changes)


def measure_options(
    transform: nn.Module,
    examples: Sequence[Example],
    widths: Sequence[int] = WIDTHS,
    *,
    report: Callable[[str], object] = lambda line: None,
) -> dict[str, list[WidthOption]]:
    """For each layer its size and damage at each width, and as it is."""
    with torch.inference_mode():
        originals = [transform(*example.inputs) for example in examples]
    options = {}
    for name, layer in low_bit_layers(transform):
        options[name] = [WidthOption(KEPT, stored_bytes(layer, KEPT), 0.0)]
        for width in widths:
            size, cost = stored_bytes(layer, width), _damage_alone(transform, name, width, examples, originals)
            options[name].append(WidthOption(width, size, cost))
        report(f"{name}: " + ", ".join(f"{option.bits} bits {option.damage:.2e}" for option in options[name][1:]))
    return options


def _damage_alone(
    transform: nn.Module, name: str, width: int, examples: Sequence[Example], originals: Sequence[Tensor]
) -> float:
    """The damage when this layer alone has that width; the transform is left as it was."""
    layer = layer_named(transform, name)
    weight = layer.weight.detach().clone()
    with torch.no_grad():
        layer.weight.copy_(round_weight(weight, width, channel_axis(layer)).weight())
        try:
            return damage(transform, examples, originals)
        finally:
            layer.weight.copy_(weight)


def chosen_bits(chosen: Mapping[str, WidthOption]) -> dict[str, int]:
    """The widths of the layers that do not stay as they are: what `LowBit` takes."""
    return {name: option.bits for name, option in chosen.items() if option.bits != KEPT}
