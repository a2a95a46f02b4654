"""Training: real steps lower the loss, resume continues exactly, two processes agree, data sources all read."""

import io
import os
import subprocess
import sys
import tarfile
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from codec.errors import UsageError
from codec.training.crops import EndlessCrops
from codec.training.losses import Fidelity, WeightedSum
from codec.training.pack import open_pack
from codec.training.schedule import warm_constant_fall
from tests.conftest import synthetic_picture

SMALL = [
    "model.encoder.width=16", "model.encoder.depth=1", "model.decoder.width=16", "model.decoder.depth=1",
    "data.crop=32", "data.batch_size=4", "trainer.limit_val_batches=2", "trainer.val_check_interval=20",
    "trainer.log_every_n_steps=5", "trainer.precision=32-true", "trainer.accelerator=cpu", "callbacks.resume.every_n_train_steps=10",
]  # fmt: skip


@pytest.fixture(scope="module")
def pictures(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("pictures")
    for i in range(6):
        Image.fromarray(synthetic_picture(48 + 8 * i, 80, i).permute(1, 2, 0).numpy()).save(
            folder / f"{i:05}_{'ab'[i % 2]}.png"
        )
    return folder


def train(pictures: Path, output: Path, *overrides: str) -> str:
    """Run train.py in a fresh process."""
    command = [
        sys.executable,
        "-W",
        "ignore",
        "train.py",
        f"data.root={pictures}",
        f"output={output}",
        f"data.cache={output / 'cache'}",
    ]
    done = subprocess.run(
        [*command, *SMALL, *overrides],
        capture_output=True,
        text=True,
        check=False,
        env=os.environ | {"OMP_NUM_THREADS": "1"},
    )
    assert done.returncode == 0, done.stderr[-3000:]
    return done.stdout


def weights(output: Path) -> dict[str, torch.Tensor]:
    return torch.load(output / "last.ckpt", weights_only=True)["current_model_state"]


def test_resume_continues_exactly(pictures: Path, tmp_path: Path) -> None:
    """20 steps in one go equal 10 steps, a stop, and 10 more: every weight and buffer, to the last bit."""
    vq = ["model/quantizer=vq_ema", "model.quantizer.codebook.codebook_size=64"]
    train(pictures, tmp_path / "once", *vq, "total_steps=20")
    train(pictures, tmp_path / "twice", *vq, "total_steps=20", "trainer.max_steps=10")
    train(pictures, tmp_path / "twice", *vq, "total_steps=20", "resume=last")
    once, twice = weights(tmp_path / "once"), weights(tmp_path / "twice")
    assert once.keys() == twice.keys()
    different = [name for name in once if not torch.equal(once[name], twice[name])]
    assert not different


def test_fsq_experiment_trains_and_its_checkpoint_codes(pictures: Path, tmp_path: Path) -> None:
    """The command of the README: loss falls, real bytes stand beside estimated bits, the checkpoint encodes."""
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    import codec

    train(pictures, tmp_path, "experiment=image_fsq", "total_steps=40")
    events = EventAccumulator(str(tmp_path / "tensorboard"))
    events.Reload()
    losses = [event.value for event in events.Scalars("train/mse")]
    assert losses[-1] < losses[0]
    real, estimated = (events.Scalars(f"val/{name}_bpp")[-1].value for name in ("real", "estimated"))
    assert estimated < real < estimated * 1.01 + 8 * 48 / (48 * 80)
    assert {"val/usage_0", "val/perplexity_0", "val/psnr"} <= set(events.Tags()["scalars"])
    assert "val/original_and_decoded_0" in events.Tags()["images"]
    data = codec.encode(min(pictures.glob("*.png")), model=tmp_path / "image-fsq")
    assert codec.decode(data, model=tmp_path / "image-fsq").space == (48, 80)
    assert "steps: 40" in (tmp_path / "image-fsq" / "card.md").read_text()


def test_folder_tar_and_shards_hold_the_same_pictures(pictures: Path, tmp_path: Path) -> None:
    files = sorted(pictures.glob("*.png"))
    for shard in range(2):
        with tarfile.open(tmp_path / f"shard-{shard:03}.tar", "w") as archive:
            for file in files[3 * shard : 3 * shard + 3]:
                archive.add(file, file.name)
                label = tarfile.TarInfo(file.stem + ".cls")
                label.size = 1
                archive.addfile(label, io.BytesIO(b"7"))
    packs = [
        open_pack(root, tmp_path / "cache")
        for root in (str(pictures), str(tmp_path / "shard-{000..001}.tar"), str(tmp_path / "shard-*.tar"))
    ]
    for pack in packs:
        assert [Path(name).name for name in pack.names] == [file.name for file in files]
        assert np.array_equal(pack[3], packs[0][3])
    assert len(open_pack(str(tmp_path / "shard-000.tar"), tmp_path / "cache")) == 3
    assert len(open_pack(str(pictures), tmp_path / "cache", ["a"])) == 3
    with pytest.raises(UsageError, match="names no pictures"):
        open_pack(str(tmp_path / "nothing"), tmp_path / "cache")
    with pytest.raises(UsageError, match="no picture left"):
        open_pack(str(pictures), tmp_path / "cache", ["zzz"])


def test_batches_are_a_function_of_their_number(pictures: Path, tmp_path: Path) -> None:
    pack = open_pack(str(pictures), tmp_path)
    stream = EndlessCrops(pack, batch_size=3, crop=64, seed=1)
    assert stream.batch(5).shape == (3, 3, 64, 64)  # wider than some pictures: extended
    later = iter(EndlessCrops(pack, batch_size=3, crop=64, seed=1, first_batch=5))
    assert torch.equal(next(later), stream.batch(5))
    assert torch.equal(next(later), stream.batch(6))
    second = iter(EndlessCrops(pack, batch_size=3, crop=64, seed=1, rank=1, world_size=2))
    assert torch.equal(next(second), stream.batch(1))
    assert torch.equal(next(second), stream.batch(3))


def test_loss_weights_and_terms_must_agree() -> None:
    terms = Fidelity(decibels=True)(torch.rand(2, 3, 8, 8), torch.rand(2, 3, 8, 8))
    assert terms.keys() == {"mse", "negative_psnr"}
    assert WeightedSum({"mse": 2.0, "negative_psnr": 0.0})(terms) == 2 * terms["mse"]
    with pytest.raises(ValueError, match=r"without a term \['ghost'\]"):
        WeightedSum({"mse": 1.0, "negative_psnr": 1.0, "ghost": 1.0})(terms)
    with pytest.raises(ValueError, match=r"without a weight \['negative_psnr'\]"):
        WeightedSum({"mse": 1.0})(terms)


def test_schedule() -> None:
    factors = [warm_constant_fall(s, warmup_steps=10, constant_until=0.5, total_steps=100) for s in range(101)]
    assert factors[0] == pytest.approx(0.1)
    assert factors[10:51] == [1.0] * 41
    assert factors[100] == pytest.approx(0, abs=1e-9)
    assert factors[50:] == sorted(factors[50:], reverse=True)


TWO_PROCESSES = """
import sys, torch
from torch import distributed as dist
from codec.quantizers import EMACodebook, RateDistortion, VectorQuantizer
rank = int(sys.argv[1])
dist.init_process_group("gloo", init_method=f"file://{sys.argv[2]}", rank=rank, world_size=2)
vq = VectorQuantizer(EMACodebook(32, 4, kmeans_iterations=5, revive_below=0.5, decay=0.8), RateDistortion(32, 0.1))
vq.codebook.rows.mul_(1)
for step in range(12):
    generator = torch.Generator().manual_seed(100 * step + rank)
    vq(torch.randn(40 + 7 * rank, 4, generator=generator) + step)
torch.save(vq.state_dict(), f"{sys.argv[2]}.{rank}")
dist.destroy_process_group()
"""


def test_codebooks_of_two_processes_stay_equal(tmp_path: Path) -> None:
    """Start, running means and revival under gloo."""
    meeting = tmp_path / "meeting"
    processes = [
        subprocess.Popen(
            [sys.executable, "-W", "ignore", "-c", TWO_PROCESSES, str(rank), str(meeting)], stderr=subprocess.PIPE
        )
        for rank in range(2)
    ]
    for process in processes:
        _, errors = process.communicate(timeout=100)
        assert process.returncode == 0, errors.decode()
    one, two = (torch.load(f"{meeting}.{rank}", weights_only=True) for rank in range(2))
    assert all(torch.equal(one[name], two[name]) for name in one)
