"""Train a token prior for a tokenizer that stays as it is: bits a token, by likelihood."""

from typing import Any, Protocol, cast

import lightning
import numpy as np
import torch
from omegaconf import OmegaConf
from torch import Tensor

from codec.entropy import EntropyModel, ideal_bits, packet_bits
from codec.errors import UsageError
from codec.generation.codebook import code_vectors
from codec.models import Codec, find, load, save
from codec.models.tokenizer import Tokenizer
from codec.training.exporting import Export, Outcome
from codec.training.optimisation import Optimisation, adamw
from codec.training.tokens import Grids, TokenSource, count


class TokenPrior(EntropyModel, Protocol):
    """An entropy model of codes that can begin at what the codes mean and how often they occur."""

    def start(self, vectors: list[Tensor], counts: list[Tensor]) -> None:
        """Set the embeddings and tables."""


class PriorTraining(lightning.LightningModule):
    """Minimise the float code length of token grids; validation counts the same on media that were held out.

    Args:
        prior: what is trained.
        tokenizer: name or folder of the checkpoint whose codes are modelled; it is not changed.
        optimisation: AdamW and schedule.
        total_steps: length of the run.
    """

    def __init__(self, prior: torch.nn.Module, tokenizer: str, *, optimisation: Optimisation, total_steps: int) -> None:
        super().__init__()
        self.prior, self.tokenizer = prior, tokenizer
        self.optimisation, self.total_steps = optimisation, total_steps

    def on_fit_start(self) -> None:
        """Tokenise, and start the prior unless a checkpoint brought it."""
        tokenizer = load_tokenizer(self.tokenizer)
        grids, _ = cast(TokenSource, self.trainer.datamodule).grids(tokenizer)  # type: ignore[attr-defined]
        if self.trainer.ckpt_path is None:
            cast(TokenPrior, self.prior).start(code_vectors(tokenizer), count(grids, tokenizer.prior.codebook_sizes))

    def training_step(self, batch: Grids, batch_idx: int) -> Tensor:
        """One step on a few grids `(Q, rows, columns)`."""
        bits = self._bits_a_token(batch)
        self.log("train/bits_a_token", bits.detach())
        return bits

    def on_validation_epoch_start(self) -> None:
        """Validation measures the float networks; `freeze` makes the integer ones at the end."""
        self.prior.train()

    def validation_step(self, batch: Tensor, batch_idx: int) -> None:
        """One picture, or the packets of one clip, `(Q, rows, columns)`."""
        self.log("val/bits_a_token", self._bits_a_token([batch]), batch_size=batch.numel(), on_epoch=True)

    def _bits_a_token(self, grids: Grids) -> Tensor:
        prior = cast(EntropyModel, self.prior)
        bits = [prior.bits([plane[None] for plane in grid]) for grid in grids]
        return torch.stack(bits).sum() / sum(grid.numel() for grid in grids)

    def configure_optimizers(self) -> Any:
        """AdamW with warm-up, constant, cosine."""
        return adamw(self.prior.parameters(), self.optimisation, self.total_steps)


class ExportPrior(Export):
    """Converts the prior to integers and saves the tokenizer's checkpoint with it.

    Args:
        folder: of the checkpoint.
        prior_config: the resolved prior subtree.
    """

    def __init__(self, folder: str, prior_config: dict[str, Any]) -> None:
        super().__init__(folder)
        self.prior_config = prior_config

    def write(self, module: PriorTraining, data: TokenSource, outcome: Outcome) -> None:
        """See the class text."""
        tokenizer = load_tokenizer(module.tokenizer)
        prior = cast(Any, module.prior.cpu().eval())
        prior.freeze(data.calibration(tokenizer))
        config = cast(
            dict[str, Any], OmegaConf.to_container(OmegaConf.load(find(module.tokenizer).folder / "config.yaml"))
        )
        tokenizer.learned_prior = prior
        measured = summary(tokenizer, prior, data.grids(tokenizer)[1], data.held_out)
        card = (find(module.tokenizer).folder / "card.md").read_text() + "\n" + measured
        save(self.folder, cast(Codec, tokenizer), config | {"learned_prior": self.prior_config}, card)


@torch.no_grad()
def summary(tokenizer: Tokenizer[Any], prior: Any, grids: Grids, held_out: str) -> str:
    """Bits a token on held-out grids: nominal, static, learned in floats and in integers; what is saved from the first planes on."""
    tokens, static, floating = sum(grid.numel() for grid in grids), 0.0, 0.0
    exact = torch.zeros(len(prior.codebook_sizes), dtype=torch.float64)
    for grid in grids:
        planes = [plane[None] for plane in grid]
        static += ideal_bits(tokenizer.prior, list(grid))
        exact += packet_bits(prior, planes).sum(0)
        floating += float(prior.train().bits(planes))
        prior.eval()
    nominal = np.log2(prior.codebook_sizes)
    positions, learned = tokens / len(nominal), float(exact.sum())
    saved = 100 * (1 - exact.numpy().cumsum() / (positions * nominal.cumsum()))
    return (
        f"- **Learned prior**, {held_out}, bits a token: nominal {nominal.mean():.2f}, static {static / tokens:.3f}, "
        f"learned {learned / tokens:.3f} (in floats {floating / tokens:.3f}: integers cost {100 * (learned / floating - 1):+.3f} %); "
        f"saved against nominal, with the first 1 to {len(nominal)} planes, in %: {', '.join(f'{part:.1f}' for part in saved)}\n"
    )


def load_tokenizer(name: str) -> Tokenizer[Any]:
    """The tokenizer of a checkpoint, of any medium."""
    model = load(name)
    if not isinstance(model, Tokenizer):
        raise UsageError(f"{name} is a {type(model).__name__}, which has no tokens")
    return model
