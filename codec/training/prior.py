"""Train a token prior for a tokenizer that stays as it is: bits a token, by likelihood."""

from pathlib import Path
from typing import Any, Protocol, cast

import lightning
import numpy as np
import torch
from omegaconf import OmegaConf
from torch import Tensor

from codec.entropy import EntropyModel, ideal_bits
from codec.models import TokenCodec, find, load_as, save
from codec.training.optimisation import Optimisation, adamw
from codec.training.tokens import Grids, TokenData, count


class TokenPrior(EntropyModel, Protocol):
    """An entropy model of codes that can begin at what the codes mean and how often they occur."""

    def start(self, vectors: list[Tensor], counts: list[Tensor]) -> None:
        """Set the embeddings and tables."""


class PriorTraining(lightning.LightningModule):
    """Minimise the float code length of token grids; validation counts the same on pictures that were held out.

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
        tokenizer = load_as(TokenCodec, self.tokenizer)
        grids, _ = cast(TokenData, self.trainer.datamodule).grids(tokenizer)  # type: ignore[attr-defined]
        if self.trainer.ckpt_path is None:
            cast(TokenPrior, self.prior).start(code_vectors(tokenizer), count(grids, tokenizer.prior.codebook_sizes))

    def training_step(self, batch: Grids, batch_idx: int) -> Tensor:
        """One step on a few whole grids `(Q, rows, columns)`."""
        bits = self._bits_a_token(batch)
        self.log("train/bits_a_token", bits.detach())
        return bits

    def on_validation_epoch_start(self) -> None:
        """Validation measures the float networks; `freeze` makes the integer ones at the end."""
        self.prior.train()

    def validation_step(self, batch: Tensor, batch_idx: int) -> None:
        """One picture."""
        self.log("val/bits_a_token", self._bits_a_token([batch]), batch_size=batch.numel(), on_epoch=True)

    def _bits_a_token(self, grids: Grids) -> Tensor:
        prior = cast(EntropyModel, self.prior)
        bits = [prior.bits([plane[None] for plane in grid]) for grid in grids]
        return torch.stack(bits).sum() / sum(grid.numel() for grid in grids)

    def configure_optimizers(self) -> Any:
        """AdamW with warm-up, constant, cosine."""
        return adamw(self.prior.parameters(), self.optimisation, self.total_steps)


class ExportPrior(lightning.Callback):
    """After training, convert the prior to integers and save the tokenizer's checkpoint with it.

    Args:
        folder: of the checkpoint.
        prior_config: the resolved prior subtree.
        calibration: crops of training tokens on which activations are measured.
        side: of those crops in positions.
    """

    def __init__(self, folder: str, prior_config: dict[str, Any], *, calibration: int = 64, side: int = 24) -> None:
        self.folder, self.prior_config = Path(folder), prior_config
        self.calibration, self.side = calibration, side

    def on_fit_end(self, trainer: lightning.Trainer, pl_module: lightning.LightningModule) -> None:
        """Averaged weights are in place by now."""
        if not trainer.is_global_zero:
            return
        module = cast(PriorTraining, pl_module)
        tokenizer = load_as(TokenCodec, module.tokenizer)
        train, val = cast(TokenData, trainer.datamodule).grids(tokenizer)  # type: ignore[attr-defined]
        prior = cast(Any, module.prior.cpu().eval())
        prior.freeze(list(crops(train, self.calibration, self.side).unbind(1)))
        config = cast(
            dict[str, Any], OmegaConf.to_container(OmegaConf.load(find(module.tokenizer).folder / "config.yaml"))
        )
        tokenizer.learned_prior = prior
        card = (find(module.tokenizer).folder / "card.md").read_text() + "\n" + summary(tokenizer, prior, val)
        save(self.folder, tokenizer, config | {"learned_prior": self.prior_config}, card)


@torch.no_grad()
def summary(tokenizer: TokenCodec, prior: Any, grids: Grids) -> str:
    """Bits a token on held-out grids: nominal, static, learned in floats and in integers."""
    tokens = sum(grid.numel() for grid in grids)
    static, exact, floating = 0.0, 0.0, 0.0
    for grid in grids:
        planes = list(grid.unbind(0))
        static += ideal_bits(tokenizer.prior, planes)
        exact += ideal_bits(prior, planes)
        floating += float(prior.train().bits([plane[None] for plane in planes]))
        prior.eval()
    nominal = sum(float(np.log2(size)) for size in prior.codebook_sizes) / len(prior.codebook_sizes)
    return (
        f"- **Learned prior**, held-out pictures, bits a token: nominal {nominal:.2f}, static {static / tokens:.3f}, "
        f"learned {exact / tokens:.3f} (in floats {floating / tokens:.3f}: integers cost {100 * (exact / floating - 1):+.3f} %)\n"
    )


def code_vectors(tokenizer: TokenCodec) -> list[Tensor]:
    """What each code of each plane means, `(K, D)`: its vector with code 0 in all other planes."""
    sizes = tokenizer.prior.codebook_sizes
    vectors = []
    for q, size in enumerate(sizes):
        codes = torch.zeros(size, len(sizes), dtype=torch.int64)
        codes[:, q] = torch.arange(size)
        vectors.append(tokenizer.quantizer.decode(codes).float())
    return vectors


def crops(grids: Grids, number: int, side: int) -> Tensor:
    """int64 `(number, Q, side, side)` from the first grids that are large enough; smaller ones set the side."""
    side = min(side, *(min(grid.shape[1:]) for grid in grids[:number]))
    return torch.stack([grid[:, :side, :side] for grid in grids[:number]])
