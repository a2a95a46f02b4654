"""What tokenizers of pictures and of sound share: encoder, quantizer, decoder, and priors whose integers name the files."""

from abc import abstractmethod
from typing import Generic, Protocol, TypeVar, cast

import torch
from torch import Tensor, nn

from codec.container.head import HASH_BYTES
from codec.entropy import EntropyModel, StaticTokenPrior
from codec.errors import UsageError
from codec.models.base import Encoding, PriorName
from codec.models.hashing import digest, model_tensors, module_classes
from codec.quantizers import Quantizer


class Fill(Protocol):
    """Makes codes that are lost."""

    def __call__(self, codes: Tensor) -> Tensor:
        """int64 `(B, Q, rows, columns)`, -1 where lost, to the same; planes it does not know stay -1."""


Backbone = TypeVar("Backbone")  # of one half of an autoencoder


class Tokenizer(nn.Module, Generic[Backbone]):
    """Encoder, quantizer, decoder and token priors; the media are the business of subclasses.

    Args:
        encoder: samples to latents of `latent_dim` channels.
        quantizer: works on `latent_dim` channels, channel-last.
        decoder: the way back.
        prior: order-0 tables for the codes, uniform unless given.
        learned_prior: an entropy model of the same codes that sees their neighbours; files are written with it where there
            is one. Each prior is a coding part of its own, so files name the one they need.
        latent_dim: stated once, checked against the quantizer.
    """

    def __init__(
        self,
        encoder: Backbone,
        quantizer: Quantizer,
        decoder: Backbone,
        prior: StaticTokenPrior | None,
        learned_prior: EntropyModel | None,
        latent_dim: int,
    ) -> None:
        super().__init__()
        prior = prior if prior is not None else StaticTokenPrior(quantizer.codebook_sizes)
        for model in (prior, learned_prior) if learned_prior is not None else (prior,):
            _check_agreement(quantizer, model, latent_dim)
        self.encoder, self.quantizer, self.decoder = encoder, quantizer, decoder
        self.prior, self.learned_prior = prior, learned_prior
        self.latent_dim = latent_dim
        self._generator: EntropyModel | None = None
        self.fill: Fill | None = None
        self._sealed: dict[PriorName, bytes] = {}

    @abstractmethod
    def geometry(self) -> dict[str, int]:
        """The numbers that a decoder must share, by name."""

    def priors(self) -> dict[PriorName, EntropyModel]:
        """The entropy models at hand by name, the best last."""
        further: dict[PriorName, EntropyModel | None] = {"learned": self.learned_prior, "generator": self._generator}
        found: dict[PriorName, EntropyModel] = {"static": self.prior}
        return found | {name: prior for name, prior in further.items() if prior is not None}

    def coded_with(self) -> dict[PriorName, EntropyModel]:
        """All entropy models of files that it reads, also of coarser codes than its own."""
        return self.priors()

    def attach(self, prior: EntropyModel | None = None, fill: "Fill | None" = None) -> None:
        """Use a generative model of these codes, which is no part of the checkpoint.

        Args:
            prior: codes with it where that is asked for.
            fill: what is lost of a file is made by it.
        """
        self.__dict__["_generator"] = prior  # not a module of this one
        self.fill = fill
        self.seal()

    def priors_by_hash(self) -> dict[bytes, EntropyModel]:
        """The same by the hash that the head of a file names."""
        return {self.coding_hash(name)[:HASH_BYTES]: prior for name, prior in self.coded_with().items()}

    def choose_prior(self, encoding: Encoding) -> PriorName:
        """The prior that was asked for, or else the best."""
        own: list[PriorName] = [name for name in self.priors() if name != "generator"]
        name = encoding.prior if encoding.prior is not None else own[-1]
        if name not in self.priors():
            raise UsageError(f"this model has no {name} prior, only {', '.join(self.priors())}")
        return name

    def coding_hash(self, prior: PriorName = "static") -> bytes:
        """SHA-256 of all that a decoder must share to read the codes: geometry, quantizer, integers of the prior of that name."""
        if prior in self._sealed and not self.training:
            return self._sealed[prior]
        model = self.coded_with()[prior]
        facts = {
            "codec": type(self).__name__,
            **self.geometry(),
            "quantizer": module_classes(self.quantizer),
            "prior": module_classes(model),
            "codebook_sizes": list(self.quantizer.codebook_sizes),
        }
        integers = ((name, tensor) for name, tensor in model_tensors(model) if not tensor.is_floating_point())
        return digest(facts, {"quantizer": model_tensors(self.quantizer), "prior": integers})

    def seal(self) -> None:
        """Remember the coding hashes: from now on codebook and integers do not change, until `train` is called."""
        self._sealed = {}
        self._sealed = {name: self.coding_hash(name) for name in self.coded_with()}

    def train(self, mode: bool = True) -> "Tokenizer[Backbone]":
        """As of any module; training breaks the seal."""
        self._sealed = {} if mode else self._sealed
        return super().train(mode)

    def float_twins(self) -> frozenset[str]:
        """Floats of the learned prior: its integers write files."""
        return frozenset(
            name for name, t in self.state_dict().items() if name.startswith("learned_prior.") and t.is_floating_point()
        )

    def thaw(self) -> None:
        """A learned prior's floats stay unknown."""

    @property
    def device(self) -> torch.device:
        """Where the weights are."""
        return next(cast(nn.Module, self.encoder).parameters()).device


def _check_agreement(quantizer: Quantizer, prior: EntropyModel, latent_dim: int) -> None:
    if quantizer.dim != latent_dim:
        raise ValueError(f"latent_dim is {latent_dim} but the quantizer works on {quantizer.dim} channels")
    if tuple(prior.codebook_sizes) != tuple(quantizer.codebook_sizes):
        raise ValueError(f"the prior is for {prior.codebook_sizes} but the quantizer has {quantizer.codebook_sizes}")
