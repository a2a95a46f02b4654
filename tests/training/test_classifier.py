"""A classifier learns from vectors alone; augmentation keeps what it should."""

from pathlib import Path

import lightning
import pytest
import torch
from safetensors.torch import load_file
from torch import Tensor

from codec.generation import TokenAugmentation, TokenClassifier
from codec.nn import GridTransformer
from codec.training import ClassifierTraining, ExportClassifier, Labelled, LabelledData, Optimisation

pytestmark = pytest.mark.filterwarnings("ignore:.isinstance.treespec", "ignore:.*does not have many workers")


def files(count: int, seed: int) -> list[Labelled]:
    """Two classes that differ in which way the first channel goes along time, not in its mean or spread."""
    random, found = torch.Generator().manual_seed(seed), []
    for i in range(count):
        length = int(torch.randint(6, 20, (), generator=random))
        wave = torch.linspace(-1, 1, length) * (1 if i % 2 else -1)
        noise = 0.2 * torch.randn(1, length, 5, generator=random)
        noise[0, :, 0] += wave
        found.append(Labelled(noise, i % 2))
    return found


def test_a_classifier_learns_what_lies_in_the_order(tmp_path: Path) -> None:
    lightning.seed_everything(0)
    data = LabelledData(files(100, 0), files(40, 1), crop=(1, 12), batch_size=8)
    model = TokenClassifier(data.vector_dim, data.classes, GridTransformer(16, 2, 2, window=(1, 12)))
    choice = Optimisation(5e-3, warmup_steps=10)
    module = ClassifierTraining(model, optimisation=choice, total_steps=300, augmentation=TokenAugmentation(noise=0.1))
    trainer = lightning.Trainer(
        max_steps=300, val_check_interval=300, check_val_every_n_epoch=None, accelerator="cpu", logger=False,
        enable_checkpointing=False, enable_progress_bar=False, enable_model_summary=False, max_epochs=-1,
        num_sanity_val_steps=0, callbacks=[ExportClassifier(str(tmp_path / "c.safetensors"))],
    )  # fmt: skip
    trainer.fit(module, datamodule=data)
    assert float(trainer.callback_metrics["val/accuracy"]) >= 0.9
    assert set(load_file(tmp_path / "c.safetensors")) == set(model.state_dict())


def spread(vectors: Tensor) -> Tensor:
    return vectors.std((1, 2), correction=0)


def test_augmentation_swaps_statistics_and_nothing_else() -> None:
    vectors = torch.randn(4, 2, 6, 3) * torch.arange(1.0, 5)[:, None, None, None]
    only_swap = TokenAugmentation(channel_noise=0, noise=0, swap=1, drop=0)
    found = only_swap(vectors, torch.Generator().manual_seed(0))
    torch.testing.assert_close(spread(found).sort(0).values, spread(vectors).sort(0).values, rtol=1e-3, atol=1e-3)
    normed = [(x - x.mean((1, 2), keepdim=True)) / x.std((1, 2), keepdim=True) for x in (vectors, found)]
    torch.testing.assert_close(*normed, atol=1e-3, rtol=0)
    nothing = TokenAugmentation(channel_noise=0, noise=0, swap=0, drop=0)
    assert torch.equal(nothing(vectors, torch.Generator()), vectors)
    dropped = TokenAugmentation(channel_noise=0, noise=0, swap=0, drop=0.5)(vectors, torch.Generator())
    assert 0.2 < float((dropped.abs().sum(-1) == 0).float().mean()) < 0.8


def test_tokens_without_classes(tmp_path: Path) -> None:
    import numpy as np

    from codec.errors import MediaError
    from codec.generation import TokenDataset, TokenRecord, shard_path, write_shard
    from codec.generation.files import source_of
    from codec.models import load
    from codec.training.classifier import labelled_tokens

    tiny = Path("tests/golden/tiny")
    source = source_of(load(tiny), "tiny")  # type: ignore[arg-type]
    codes = np.zeros((1, 2, 2), np.uint8)
    path = shard_path(tmp_path, 0, "npy")
    write_shard(path, "npy", source, 0, [TokenRecord("a", codes, {"width": 16, "height": 16, "channels": 3})])
    with pytest.raises(MediaError, match="no record of these tokens has a class"):
        labelled_tokens(TokenDataset(path), str(tiny))
