"""Train a classifier on stored tokens."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import lightning
import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F
from torch.utils.data import DataLoader

from codec.errors import MediaError
from codec.generation import TokenAugmentation, TokenClassifier, TokenDataset
from codec.training.endless import Endless
from codec.training.exporting import Export, Outcome
from codec.training.optimisation import Optimisation, adamw
from codec.training.prior import load_tokenizer


@dataclass(frozen=True)
class Labelled:
    """Vectors of one file, `(rows, columns, D)`, and its class."""

    vectors: Tensor
    label: int


class LabelledBatch(NamedTuple):
    """Crops of one size, `(B, rows, columns, D)`, and their classes `(B,)`."""

    vectors: Tensor
    labels: Tensor


class LabelledData(lightning.LightningDataModule):
    """Random crops of labelled vectors for training, those of a regular grid for validation.

    Args:
        train: for training.
        val: for validation.
        crop: rows and columns; smaller grids are repeated.
        batch_size: crops a step; every class is as likely.
        seed: of the order.
    """

    def __init__(
        self,
        train: Sequence[Labelled],
        val: Sequence[Labelled],
        *,
        crop: Sequence[int],
        batch_size: int = 16,
        seed: int = 0,
    ) -> None:
        super().__init__()
        self.train, self.val, self.crop = list(train), list(val), (crop[0], crop[1])
        self.batch_size, self.seed = batch_size, seed

    @property
    def vector_dim(self) -> int:
        """D."""
        return self.train[0].vectors.shape[-1]

    @property
    def classes(self) -> int:
        """One more than the largest class."""
        return 1 + max(one.label for one in [*self.train, *self.val])

    def train_dataloader(self) -> DataLoader[LabelledBatch]:
        """Batches from where the trainer stands."""
        first = self.trainer.global_step if self.trainer is not None else 0
        return DataLoader(_EndlessLabelled(self.train, self.crop, self.batch_size, self.seed, first), batch_size=None)

    def val_dataloader(self) -> DataLoader[LabelledBatch]:
        """All crops of one file a batch."""
        return DataLoader([_all_crops(one, self.crop) for one in self.val], batch_size=None)  # type: ignore[arg-type]


class ShardVectors(LabelledData):
    """The same from what `codec tokenize` wrote of files with a class beside them.

    Args:
        train: folders of shards.
        val: others, for validation.
        tokenizer: name or folder of the checkpoint that made them.
        crop: as of `LabelledData`.
        batch_size: likewise.
        seed: likewise.
    """

    def __init__(
        self,
        train: str | Sequence[str],
        val: str | Sequence[str],
        tokenizer: str,
        *,
        crop: Sequence[int],
        batch_size: int = 16,
        seed: int = 0,
    ) -> None:
        parts = [labelled_tokens(TokenDataset(folders), tokenizer) for folders in (train, val)]
        super().__init__(*parts, crop=crop, batch_size=batch_size, seed=seed)


class _EndlessLabelled(Endless[LabelledBatch]):
    def __init__(
        self, files: Sequence[Labelled], crop: tuple[int, int], batch_size: int, seed: int, first_batch: int
    ) -> None:
        super().__init__(first_batch)
        self._classes = [[one for one in files if one.label == label] for label in sorted({f.label for f in files})]
        self._crop, self._batch_size, self._seed = crop, batch_size, seed

    def batch(self, number: int) -> LabelledBatch:
        random = np.random.default_rng([self._seed, number])
        found = []
        for _ in range(self._batch_size):
            files = self._classes[random.integers(len(self._classes))]
            one = files[random.integers(len(files))]
            whole = _at_least(one.vectors, self._crop)
            r, c = (int(random.integers(whole.shape[i] - self._crop[i] + 1)) for i in (0, 1))
            found.append(Labelled(whole[r : r + self._crop[0], c : c + self._crop[1]], one.label))
        return _batch(found)


class ClassifierTraining(lightning.LightningModule):
    """Minimise the cross-entropy of crops; a file's class is that of the mean of its crops' logits.

    Args:
        model: the classifier.
        optimisation: AdamW and schedule.
        total_steps: length of the run.
        augmentation: of the training vectors.
        seed: of the augmentation.
    """

    def __init__(
        self,
        model: TokenClassifier,
        *,
        optimisation: Optimisation,
        total_steps: int,
        augmentation: TokenAugmentation | None = None,
        seed: int = 0,
    ) -> None:
        super().__init__()
        self.model, self.optimisation, self.total_steps, self.seed = model, optimisation, total_steps, seed
        self.augmentation = augmentation if augmentation is not None else TokenAugmentation()

    def training_step(self, batch: LabelledBatch, batch_idx: int) -> Tensor:
        """One step."""
        random = torch.Generator().manual_seed(self.seed * 1_000_003 + self.global_step)
        logits = self.model(self.augmentation(batch.vectors, random))
        loss = F.cross_entropy(logits, batch.labels, label_smoothing=0.05)
        self.log("train/loss", loss.detach())
        return loss

    def validation_step(self, batch: LabelledBatch, batch_idx: int) -> None:
        """One file."""
        right = self.model(batch.vectors).mean(0).argmax() == batch.labels[0]
        self.log("val/accuracy", right.float(), batch_size=1, on_epoch=True)

    def configure_optimizers(self) -> Any:
        """AdamW with warm-up, constant, cosine."""
        return adamw(self.model.parameters(), self.optimisation, self.total_steps)


class ExportClassifier(Export):
    """Saves the classifier's weights.

    Args:
        file: a `.safetensors` file.
    """

    def __init__(self, file: str) -> None:
        super().__init__(file)

    def write(self, module: ClassifierTraining, data: object, outcome: Outcome) -> None:
        """See the class text."""
        from safetensors.torch import save_file

        self.folder.parent.mkdir(parents=True, exist_ok=True)
        facts = {name: f"{value:.4f}" for name, value in outcome.metrics.items()}
        save_file({name: t.contiguous() for name, t in module.model.state_dict().items()}, self.folder, facts)


@torch.no_grad()
def labelled_tokens(data: TokenDataset, tokenizer: str) -> list[Labelled]:
    """The vectors of all records that have a class."""
    model, found = load_tokenizer(tokenizer), list[Labelled]()
    for record in (data.record(i) for i in range(len(data))):
        if record.label is not None:
            codes = torch.from_numpy(record.codes.astype("int64")).movedim(0, -1)
            found.append(Labelled(model.quantizer.decode(codes).float(), record.label))
    if not found:
        raise MediaError("no record of these tokens has a class; put it into a file .cls beside each input")
    return found


def _all_crops(one: Labelled, crop: tuple[int, int]) -> LabelledBatch:
    whole = _at_least(one.vectors, crop)
    rows, columns = (range(0, whole.shape[i] - crop[i] + 1, crop[i]) for i in (0, 1))
    return _batch([Labelled(whole[r : r + crop[0], c : c + crop[1]], one.label) for r in rows for c in columns])


def _at_least(vectors: Tensor, crop: tuple[int, int]) -> Tensor:
    """The grid, repeated until a crop fits."""
    times = [-(-crop[i] // vectors.shape[i]) for i in (0, 1)]
    return vectors.repeat(*times, 1) if max(times) > 1 else vectors


def _batch(crops: Sequence[Labelled]) -> LabelledBatch:
    return LabelledBatch(torch.stack([one.vectors for one in crops]), torch.tensor([one.label for one in crops]))
