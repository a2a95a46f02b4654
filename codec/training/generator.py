"""Train a generative model of the codes of a tokenizer that stays as it is."""

from collections.abc import Callable
from typing import Any, cast

import lightning
import torch
from torch import Tensor

from codec.generation import EMPTY, CodeSource, Condition, TokenModel, coarse_vectors, save_generator
from codec.training.exporting import Export, Outcome
from codec.training.optimisation import Optimisation, adamw
from codec.training.token_crops import CropBatch, TokenCrops
from codec.training.tokens import count


class GeneratorTraining(lightning.LightningModule):
    """Minimise the code length of crops of tokens, told their class and coarse picture most of the time.

    Args:
        model: what is trained; it models the first planes of the tokenizer's codes.
        tokenizer: whose codes they are: name or folder of a checkpoint, which is not changed, or `jpeg:SIDE:QUALITY:LENGTH`.
        optimisation: AdamW and schedule.
        total_steps: length of the run.
        dropped: share of the crops that are not told their class, and of those without their coarse picture.
        seed: of masks and of what is not told.
    """

    def __init__(
        self,
        model: torch.nn.Module,
        tokenizer: str,
        *,
        optimisation: Optimisation,
        total_steps: int,
        dropped: float = 0.1,
        seed: int = 0,
    ) -> None:
        super().__init__()
        self.model, self.tokenizer = model, tokenizer
        self.optimisation, self.total_steps, self.dropped, self.seed = optimisation, total_steps, dropped, seed
        self._vectors: Callable[[Tensor], Tensor] | None = None  # the tokenizer itself would be a part of this module

    def on_fit_start(self) -> None:
        """Read the tokens, and start the model unless a checkpoint brought it."""
        source, model = CodeSource.of(self.tokenizer), cast(TokenModel, self.model)
        sizes, tokenizer = source.alphabets[: len(model.alphabets)], source.tokenizer
        if sizes != model.alphabets:
            raise ValueError(f"the model is of alphabets {model.alphabets}, {self.tokenizer} has {sizes}")
        grids = cast(TokenCrops, self.trainer.datamodule).prepare(tokenizer, len(sizes))  # type: ignore[attr-defined]
        if tokenizer is not None:
            self._vectors = tokenizer.to(self.device).quantizer.decode
        if self.trainer.ckpt_path is None:
            model.start(source.vectors()[: len(sizes)], count(grids, sizes))

    def training_step(self, batch: CropBatch, batch_idx: int) -> Tensor:
        """One step."""
        random = torch.Generator().manual_seed(self.seed * 1_000_003 + self.global_step)
        condition = self.condition(batch).dropped(self.dropped, random)
        bits = cast(TokenModel, self.model).loss(batch.codes, condition, random)
        self.log("train/bits_a_token", bits.detach())
        return bits

    def validation_step(self, batch: CropBatch, batch_idx: int) -> None:
        """Code lengths without any condition, and with all."""
        model, condition = cast(TokenModel, self.model), self.condition(batch)
        tokens = batch.codes.numel()
        self.log("val/bits_a_token", model.code_length(batch.codes).sum() / tokens, batch_size=tokens)
        if not condition.is_empty:
            told = model.code_length(batch.codes, condition).sum() / tokens
            self.log("val/bits_a_token_told", told, batch_size=tokens)

    def condition(self, batch: CropBatch) -> Condition:
        """What this model can be told of the crops."""
        wanted = cast(TokenModel, self.model).conditions
        labels = batch.labels if wanted.classes and bool((batch.labels != EMPTY).any()) else None
        coarse = None
        if wanted.coarse_dim:
            assert self._vectors is not None
            vectors = self._vectors(batch.codes.movedim(1, -1)).float()
            coarse = coarse_vectors(vectors, wanted.coarse_step)
        return Condition(labels, coarse)

    def configure_optimizers(self) -> Any:
        """AdamW with warm-up, constant, cosine."""
        return adamw(self.model.parameters(), self.optimisation, self.total_steps)


class ExportGenerator(Export):
    """Saves the model as a checkpoint that `codec generate` finds by its tokenizer.

    Args:
        folder: of the checkpoint.
        config: the resolved subtree of the model.
        note: first line of the card.
    """

    def __init__(self, folder: str, config: dict[str, Any], note: str = "") -> None:
        super().__init__(folder, note)
        self.config = config

    def write(self, module: GeneratorTraining, data: object, outcome: Outcome) -> None:
        """See the class text."""
        card, source = outcome.card(self.folder.name, self.note), CodeSource.of(module.tokenizer)
        save_generator(self.folder, module.model, self.config, card, source)
