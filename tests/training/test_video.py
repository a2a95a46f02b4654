"""Training of video codecs: clips, real steps that lower the loss, resume that continues exactly, exports that write files."""

import copy
from fractions import Fraction
from pathlib import Path
from typing import Any

import lightning
import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor

from codec.errors import UsageError
from codec.media import VideoFormat, VideoFrame, video_writer
from codec.models import Encoding, VideoLatentCodec, VideoTokenCodec, load, save
from codec.models.checkpoint import build
from codec.training import (
    ClipShape,
    ExportCheckpoint,
    ExportPrior,
    ExportVideoLatent,
    Fidelity,
    Optimisation,
    PriorTraining,
    VideoData,
    VideoLatentTraining,
    VideoTokenizerTraining,
    VideoTokens,
    WeightedSum,
)
from codec.training.export_video import CLIP
from codec.training.video_data import EndlessClips
from codec.training.video_pack import open_video_pack
from codec.types import Media
from tests.conftest import synthetic_picture
from tests.models.latent_models import CONFIG as INTRA
from tests.models.latent_models import small_latent_codec
from tests.models.video_models import CONFIG, moving_clip, small_video_codec
from tests.models.video_token_models import CONFIG as TOKENS

pytestmark = pytest.mark.filterwarnings(
    "ignore:.isinstance.treespec",
    "ignore:.*does not have many workers",
    "ignore:.*in eval mode",
    "ignore:.*exists and is not",
)
OPTIMISATION = Optimisation(warmup_steps=4)


@pytest.fixture(scope="module")
def videos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("videos")
    format = VideoFormat(240, 208, Fraction(1, 25), Fraction(25))
    for seed in range(2):
        with video_writer(folder / f"{seed}.mp4", format, ".mp4") as writer:
            for t, frame in enumerate(moving_clip(10, 208, 240, seed)):
                writer.write(VideoFrame(frame.contiguous().numpy(), t))
    return folder


@pytest.fixture(scope="module")
def photographs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("photographs")
    for i in range(2):
        Image.fromarray(synthetic_picture(150, 170, i).permute(1, 2, 0).numpy()).save(folder / f"{i:05}_a.png")
    return folder


def data(videos: Path, photographs: Path, shape: ClipShape) -> VideoData:
    return VideoData(
        str(videos),
        val_root=str(videos),
        photographs=str(photographs),
        cache=str(videos / "cache"),
        shape=shape,
        batch_size=2,
        val_frames=5,
        val_longest=192,
    )


def trainer(output: Path, steps: int, *callbacks: lightning.Callback, until: int | None = None) -> lightning.Trainer:
    resume = lightning.pytorch.callbacks.ModelCheckpoint(
        dirpath=output, filename="last", every_n_train_steps=2, enable_version_counter=False
    )
    return lightning.Trainer(
        accelerator="cpu",
        max_steps=steps if until is None else until,
        max_epochs=-1,
        val_check_interval=steps,
        check_val_every_n_epoch=None,
        limit_val_batches=1,
        num_sanity_val_steps=0,
        logger=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        gradient_clip_val=1.0,
        callbacks=[resume, *callbacks],
    )


def test_clips_are_the_same_on_every_call_and_move(videos: Path, photographs: Path) -> None:
    for moving in (0.0, 1.0):
        shape = ClipShape(frames=3, crop=64, moving_photographs=moving)
        clips = data(videos, photographs, shape).crops()
        one, again = clips.batch(5), clips.batch(5)
        assert one.shape == (2, 3, 3, 64, 64)
        assert one.dtype == torch.uint8
        assert torch.equal(one, again)
        assert not torch.equal(one, clips.batch(6))
        assert (one[:, 1:].float() - one[:, :-1].float()).abs().mean() > 0.5


def test_a_clip_may_be_smaller_than_a_crop(videos: Path, photographs: Path) -> None:
    clips = data(videos, photographs, ClipShape(frames=12, crop=256, moving_photographs=0)).crops()
    assert isinstance(clips, EndlessClips)
    assert clips.batch(0).shape == (2, 12, 3, 256, 256)


def test_a_pack_of_nothing_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="no tar and no folder"):
        open_video_pack(tmp_path / "nothing", tmp_path)
    (tmp_path / "empty").mkdir()
    with pytest.raises(UsageError, match="holds no videos"):
        open_video_pack(tmp_path / "empty", tmp_path / "cache")


def latent_training(intra: Path, steps: int) -> VideoLatentTraining:
    torch.manual_seed(0)
    return VideoLatentTraining(
        build(copy.deepcopy(CONFIG)),  # type: ignore[arg-type]
        optimisation=OPTIMISATION,
        total_steps=steps,
        intra=str(intra),
        start_batches=2,
    )


@pytest.fixture(scope="module")
def intra(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("intra") / "small-latent"
    save(folder, small_latent_codec(), INTRA, "# small\n")
    return folder


def test_latent_resume_continues_exactly_and_the_export_writes_files(
    videos: Path, photographs: Path, intra: Path, tmp_path: Path
) -> None:
    """The run passes from noise to rounding on its way."""
    source = data(videos, photographs, ClipShape(frames=3, crop=64))
    export = ExportVideoLatent(str(tmp_path / "video"), CONFIG, "small")
    trainer(tmp_path / "once", 6, export).fit(latent_training(intra, 6), datamodule=source)
    trainer(tmp_path / "twice", 6, until=4).fit(latent_training(intra, 6), datamodule=source)
    trainer(tmp_path / "twice", 6).fit(
        latent_training(intra, 6), datamodule=source, ckpt_path=str(tmp_path / "twice" / "last.ckpt")
    )
    first, second = (
        torch.load(tmp_path / name / "last.ckpt", weights_only=True)["state_dict"] for name in ("once", "twice")
    )
    assert [name for name in first if not torch.equal(first[name], second[name])] == []
    model = load(tmp_path / "video")
    assert isinstance(model, VideoLatentCodec)
    media = Media("video", moving_clip(5, 64, 96).transpose(0, 1).contiguous())
    coarse, fine = (model.compress(media, Encoding(quality=quality)) for quality in (10, 90))
    assert len(coarse) < len(fine)
    assert error(model, media, fine) < error(model, media, coarse)


def test_a_model_that_keeps_blocks_begins_at_one_that_keeps_none(
    videos: Path, photographs: Path, tmp_path: Path
) -> None:
    before, source = small_video_codec(kept=False), data(videos, photographs, ClipShape(frames=3, crop=64))
    config = copy.deepcopy(CONFIG)
    del config["inter"]["kept"]  # type: ignore[attr-defined]
    save(tmp_path / "before", before, config, "# small\n")
    training = latent_training(tmp_path / "none", 1)
    training.start_model = str(tmp_path / "before")
    trainer(tmp_path / "run", 1).fit(training, datamodule=source)
    assert training.model.inter.kept is not None
    kept = training.model.inter.kept.state_dict()
    assert any(bool(tensor.any()) for name, tensor in kept.items() if name.startswith("networks."))


def error(model: Any, media: Media, file: bytes) -> float:
    return float((model.decompress(file).samples.float() - media.samples.float()).square().mean())


def test_steps_lower_the_loss(videos: Path, photographs: Path, intra: Path, tmp_path: Path) -> None:
    source = data(videos, photographs, ClipShape(frames=3, crop=64))
    training, losses = latent_training(intra, 30), list[float]()

    class Watch(lightning.Callback):
        def on_train_batch_end(self, trainer: Any, module: Any, outputs: Any, *rest: Any) -> None:
            losses.append(float(outputs["loss"]))

    trainer(tmp_path, 30, Watch()).fit(training, datamodule=source)
    assert np.mean(losses[-8:]) < 0.97 * np.mean(losses[:8])


def test_calibration_sees_a_past(videos: Path, photographs: Path, intra: Path) -> None:
    training = latent_training(intra, 1)
    training.model.intra.load_state_dict(small_latent_codec().state_dict())
    clips = data(videos, photographs, CLIP).crops().batch(0)
    last = training.eval().last_inter(clips, torch.tensor([0.2, 0.8]))
    assert last.past.shape[1] == 2 * 16 + 3
    assert bool((last.past[:, -1] == 1).all())
    assert last.motion.shape == last.motion_before.shape


def tokenizer_training(steps: int) -> VideoTokenizerTraining:
    torch.manual_seed(0)
    return VideoTokenizerTraining(
        build(copy.deepcopy(TOKENS)),  # type: ignore[arg-type]
        Fidelity(),
        WeightedSum({"mse": 100.0}),
        optimisation=OPTIMISATION,
        total_steps=steps,
        start_batches=2,
        usage_window=2,
    )


def test_tokens_are_trained_and_then_their_prior(videos: Path, photographs: Path, tmp_path: Path) -> None:
    source = data(videos, photographs, ClipShape(frames=9, crop=64))
    export = ExportCheckpoint(str(tmp_path / "tokens"), TOKENS, "small")
    trainer(tmp_path / "run", 4, export).fit(tokenizer_training(4), datamodule=source)
    model = load(tmp_path / "tokens")
    assert isinstance(model, VideoTokenCodec)
    prior = {"_target_": "codec.entropy.VideoTokenPrior", "digits": [[8, 8, 8, 5]], "period": 4, "width": 16}
    prior |= {"embedding_dim": 4, "key_dim": 4}
    learning = PriorTraining(
        build(copy.deepcopy(prior)), str(tmp_path / "tokens"), optimisation=OPTIMISATION, total_steps=6
    )
    tokens = VideoTokens(source, views=2)
    trainer(tmp_path / "prior", 6, ExportPrior(str(tmp_path / "tokens-2"), prior)).fit(learning, datamodule=tokens)
    better = load(tmp_path / "tokens-2")
    media = Media("video", moving_clip(9, 64, 96).transpose(0, 1).contiguous())
    files = {name: better.compress(media, Encoding(prior=name)) for name in ("static", "learned")}
    decoded: list[Tensor] = [better.decompress(file).samples for file in files.values()]
    assert torch.equal(*decoded)
    assert better.compress(media) == files["learned"]


def test_tokens_resume_continues_exactly(videos: Path, photographs: Path, tmp_path: Path) -> None:
    source = data(videos, photographs, ClipShape(frames=5, crop=64))
    trainer(tmp_path / "once", 4).fit(tokenizer_training(4), datamodule=source)
    trainer(tmp_path / "twice", 4, until=2).fit(tokenizer_training(4), datamodule=source)
    trainer(tmp_path / "twice", 4).fit(
        tokenizer_training(4), datamodule=source, ckpt_path=str(tmp_path / "twice" / "last.ckpt")
    )
    first, second = (
        torch.load(tmp_path / name / "last.ckpt", weights_only=True)["state_dict"] for name in ("once", "twice")
    )
    assert [name for name in first if not torch.equal(first[name], second[name])] == []


def test_a_frozen_network_is_distilled_into_the_codes(videos: Path, photographs: Path, tmp_path: Path) -> None:
    from codec.training import SemanticDistillation

    source, seen = data(videos, photographs, ClipShape(frames=5, crop=64)), list[float]()
    training = tokenizer_training(12)
    training.semantic, training.loss = SemanticDistillation(4, 16), WeightedSum({"mse": 1.0, "semantic": 1.0})
    before = {name: weight.clone() for name, weight in training.semantic.state_dict().items()}

    class Watch(lightning.Callback):
        def on_train_batch_end(self, trainer: lightning.Trainer, *rest: Any) -> None:
            seen.append(float(trainer.callback_metrics["train/semantic"]))

    trainer(tmp_path, 12, Watch()).fit(training, datamodule=source)
    assert seen[-1] < seen[0]
    assert set(before) == {"head.0.weight", "head.0.bias", "head.2.weight", "head.2.bias"}
    assert not torch.equal(training.semantic.state_dict()["head.0.weight"], before["head.0.weight"])


def test_clips_that_are_too_short_for_the_lead_are_refused() -> None:
    training = VideoLatentTraining(build(CONFIG), optimisation=OPTIMISATION, total_steps=4, lead=6)  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="they need 8"):
        training.training_step(torch.zeros(1, 3, 3, 64, 64, dtype=torch.uint8), 0)
