"""Write the shippable checkpoint when training ends: tables fitted to a count of the whole training set."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Protocol, cast

import torch
from omegaconf import OmegaConf
from torch import Tensor

from codec.models import SoundCodec, TokenCodec, find, load_as, save
from codec.models.checkpoint import in_eight_bits
from codec.models.deployment import low_bit_copy, uniform_bits
from codec.training.autoencoder import AutoencoderTraining
from codec.training.datamodule import pictures
from codec.training.exporting import Export, Outcome
from codec.training.pack import ImagePack

Tokenizing = TokenCodec | SoundCodec


class TrainingMedia(Protocol):
    """A data module that gives all that it trains with."""

    def train_media(self) -> Iterator[Tensor]:
        """Samples `(1, C, *space)` of one file after another, as the model's `encode` takes them."""


@torch.inference_mode()
def count_codes(
    model: Tokenizing, media: Iterable[Tensor], codes_of: Callable[[Tensor], Sequence[Tensor]]
) -> list[Tensor]:
    """Hits of every code over whole files, samples `(1, C, *space)` each: int64 `(K,)` for each code at a position."""
    counts = [torch.zeros(size, dtype=torch.int64) for size in model.quantizer.codebook_sizes]
    for samples in media:
        for count, codes in zip(counts, codes_of(samples), strict=True):
            count += torch.bincount(codes.flatten(), minlength=len(count))
    return counts


def count_picture_codes(model: TokenCodec, pack: ImagePack) -> list[Tensor]:
    """The same over the whole pictures of a pack."""
    return count_codes(model, pictures(pack), lambda picture: [plane.codes for plane in model.encode(picture).planes])


@dataclass(frozen=True)
class Narrowing:
    """How a checkpoint takes less space than its weights in half precision.

    Attributes:
        coarse_codewords: round codewords to 8 bits; errors of one residual stage are left to the next.
        network_bits: of the weights of encoder and decoder (`codec.nn.LowBit`); 16 leaves them as they are.
    """

    coarse_codewords: bool = False
    network_bits: int = 16

    def codewords(self, model: Tokenizing) -> None:
        """Round the tables of the quantizer, in place."""
        if self.coarse_codewords:
            round_codewords(model.quantizer)

    def network(self, model: Tokenizing, name: str, config: dict[str, Any]) -> dict[str, Any]:
        """Round the weights of `encoder` or `decoder`, in place, and return the config of a model that has them."""
        if self.network_bits == 16:
            return config
        network = cast(torch.nn.Module, getattr(model, name))
        bits = uniform_bits(network, self.network_bits)
        setattr(model, name, low_bit_copy(network, bits))
        return config | {name: {"_target_": "codec.nn.LowBit", "module": config[name], "bits": bits}}

    def whole(self, model: Tokenizing, config: dict[str, Any]) -> dict[str, Any]:
        """All of a model, in place; its config."""
        self.codewords(model)
        return self.network(model, "decoder", self.network(model, "encoder", config))


class ExportCheckpoint(Export):
    """Fits the prior to the training set and saves `config.yaml`, `model.safetensors`, `card.md`.

    Where only a decoder was trained, the checkpoint is the one whose codes were kept, priors and all, with the new decoder.

    Args:
        folder: of the checkpoint.
        config: the resolved model subtree.
        note: first line of the card.
        narrowing: of what is saved.
    """

    def __init__(self, folder: str, config: dict[str, Any], note: str = "", narrowing: Narrowing | None = None) -> None:
        super().__init__(folder, note)
        self.config = config
        self.narrowing = narrowing if narrowing is not None else Narrowing()

    def write(self, module: AutoencoderTraining[Any], data: TrainingMedia, outcome: Outcome) -> None:
        """See the class text."""
        model = module.model.cpu().eval()
        if module.keep_codes_of is None:
            config = self.narrowing.whole(model, self.config)
            model.prior.fit(count_codes(model, data.train_media(), module.codes_of))
        else:
            config = self.narrowing.network(model, "decoder", self.config)
            model, config = with_decoder(module.keep_codes_of, model, config)
        save(self.folder, model, config, outcome.card(self.folder.name, self.note))


@torch.no_grad()
def round_codewords(quantizer: object) -> None:
    """Round the tables of a quantizer to numbers of 8 bits, in place."""
    for part in cast(torch.nn.Module, quantizer).modules():
        rows = getattr(part, "rows", None)
        if isinstance(rows, Tensor):
            rows.copy_(in_eight_bits(rows).float())


def with_decoder(kept: str, trained: Tokenizing, config: dict[str, Any]) -> tuple[Tokenizing, dict[str, Any]]:
    """A checkpoint's model and config with a trained decoder in the place of its own."""
    model, stored = load_as(type(trained), kept), OmegaConf.load(find(kept).folder / "config.yaml")
    model.decoder = trained.decoder
    return model, cast(dict[str, Any], OmegaConf.to_container(stored)) | {"decoder": config["decoder"]}
