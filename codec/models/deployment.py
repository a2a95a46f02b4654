"""A codec with low-bit synthesis: which widths, what it costs, and the checkpoint's config that says so.

Analysis, prior and integers stay as they are, so files of both models decode with either.
"""

import copy
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any, cast

import torch
from torch import Tensor, nn

from codec.models.latent import LatentCodec
from codec.models.token import TokenCodec
from codec.nn import LowBit, allocate, channels_last
from codec.nn.low_bit import low_bit_layers, stored_bytes
from codec.nn.sensitivity import Example, chosen_bits, damage, damage_of_db, db_of_damage, measure_options

Model = TokenCodec | LatentCodec
LEAST_ERROR = 1e-7  # mean squared error of a picture, 70 dB: below it no loss shows
ROUNDS = 5  # how often the budget is tightened where the additive model was too hopeful


def synthesis_name(model: Model) -> str:
    """What the synthesis is called, in the model and in its config."""
    return "decoder" if isinstance(model, TokenCodec) else "synthesis"


def synthesis_of(model: Model) -> nn.Module:
    """The network that makes pixels."""
    return cast(nn.Module, getattr(model, synthesis_name(model)))


def decoded(model: Model, pictures: Iterable[Tensor], qualities: Sequence[int]) -> Iterator[tuple[Tensor, Tensor]]:
    """Each picture, uint8 `(1, 3, H, W)`, and what comes back in [0, 1]; at each quality, where the model has any."""
    for pixels in pictures:
        height, width = pixels.shape[-2:]
        found = (
            [model.encode(pixels)]
            if isinstance(model, TokenCodec)
            else [model.encode(pixels, quality) for quality in qualities]
        )
        for codes in found:
            yield pixels, model.decode(codes)[..., :height, :width]


def examples_of(model: Model, pictures: Iterable[Tensor], qualities: Sequence[int]) -> list[Example]:
    """What the synthesis is asked for when these pictures, uint8 `(1, 3, H, W)`, are decoded."""
    examples, calls = [], list[tuple[Tensor, ...]]()
    hook = synthesis_of(model).register_forward_pre_hook(lambda _, inputs: calls.append(inputs))
    for pixels, pixels_back in decoded(model, pictures, qualities):
        error = max((pixels_back - pixels / 255).square().mean().item(), LEAST_ERROR)
        examples += [Example(tuple(part.clone() for part in inputs), error) for inputs in calls]
        calls.clear()
    hook.remove()
    return examples


def low_bit_copy(transform: nn.Module, bits: dict[str, int]) -> LowBit:
    """The transform with rounded weights."""
    return channels_last(LowBit(cast(Any, copy.deepcopy(transform)), bits=bits)).eval().requires_grad_(False)


def uniform_bits(transform: nn.Module, bits: int) -> dict[str, int]:
    """One width for all layers, but for those that take no less space with it."""
    layers = low_bit_layers(transform)
    return {name: bits for name, layer in layers if stored_bytes(layer, bits) < stored_bytes(layer, 16)}


def bits_within(
    transform: nn.Module,
    examples: Sequence[Example],
    budget_db: float,
    report: Callable[[str], object] = lambda line: None,
) -> dict[str, int]:
    """The smallest weights whose loss on the examples keeps to a budget.

    The integer program adds up what the layers cost one by one; where all together cost more, its budget is tightened.
    """
    options = measure_options(transform, examples, report=report)
    with torch.inference_mode():
        originals = [transform(*example.inputs) for example in examples]
    allowed = budget = damage_of_db(budget_db)
    for _ in range(ROUNDS):
        chosen = dict(zip(options, allocate(list(options.values()), allowed), strict=True))
        bits = chosen_bits(chosen)
        predicted = sum(option.damage for option in chosen.values())
        together = damage(low_bit_copy(transform, bits), examples, originals)
        report(
            f"loss: the sum over layers is {db_of_damage(predicted):.4f} dB, all together {db_of_damage(together):.4f}"
        )
        if together <= budget:
            return bits
        allowed *= 0.98 * budget / together
    raise ValueError(f"no allocation kept to {budget_db} dB; allow more")


def deploy(model: Model, config: dict[str, Any], low: LowBit) -> dict[str, Any]:
    """Put a low-bit synthesis into the model, in place, and return the config that builds it."""
    name = synthesis_name(model)
    setattr(model, name, low)
    return config | {name: {"_target_": "codec.nn.LowBit", "module": config[name], "bits": low.bits}}
