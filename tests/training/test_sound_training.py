"""Training of sound tokenizers: real steps lower the loss, resume is exact, checkpoints code sounds, every experiment runs."""

import io
import re
from pathlib import Path

import pytest
import torch
from hydra.utils import instantiate
from safetensors.torch import load_file
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

import codec
from codec.errors import UsageError
from codec.models import Encoding, SoundCodec, load_as
from codec.models.checkpoint import build
from codec.nn import LowBit
from codec.training import export_stopped
from codec.training.recipes import plain
from codec.types import Media
from tests.training.sound_runs import RATE_HZ, run, shrunk, voice, weights, write_archives

EXPERIMENTS = [
    "audio_speech_16k",
    "audio_speech_16k_2",
    "audio_24k",
    "sound_group_residual",
    "sound_masked_residual",
    "sound_simvq",
    "sound_fsq",
]
NETWORKS = [
    "loss=sound_adversarial", "loss.fidelity.parts.adversary.discriminator.parts.periods.periods=[2,3]",
    "loss.fidelity.parts.adversary.discriminator.parts.periods.widths=[4,8]",
    "loss.fidelity.parts.adversary.discriminator.parts.bands.windows=[512]",
    "loss.fidelity.parts.adversary.discriminator.parts.bands.width=2",
    "loss.fidelity.parts.adversary.side=1600", "loss.fidelity.parts.adversary.starts_at_step=2",
]  # fmt: skip
STEADY = [
    "name=audio-speech-16k", "training.optimisation.learning_rate=1e-2", "training.optimisation.warmup_steps=2",
    "data.batch_size=4", "data.augmentation.level_db=[0,0]", "data.augmentation.silent=0", "model.quantizer.shape.dropout=0",
]  # fmt: skip


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_archives(tmp_path_factory.mktemp("sounds"))


@pytest.fixture(scope="module")
def trained(root: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run of the config that is the default, made small."""
    output = tmp_path_factory.mktemp("trained")
    run("train_sound", root, output, *STEADY, "total_steps=30", "trainer.val_check_interval=30")
    return output


def sound(seconds: float = 0.5) -> Media:
    return Media("audio", torch.from_numpy(voice(seconds, 5))[None], rate=RATE_HZ)


def logged(output: Path, name: str) -> list[float]:
    """What a run has written of a scalar."""
    events = EventAccumulator(str(output / "tensorboard"))
    events.Reload()
    return [event.value for event in events.Scalars(name)]


def test_steps_lower_the_loss_and_validation_measures_files(trained: Path) -> None:
    losses = torch.tensor(logged(trained, "train/loss"))
    assert losses[-8:].mean() < 0.96 * losses[:8].mean()
    ideal, real, nominal = (logged(trained, f"val/speech/{name}kbps")[-1] for name in ("ideal_", "", "nominal_"))
    assert ideal < real
    assert nominal == pytest.approx((6 + 12 * 4) * 50 / 1000)
    assert logged(trained, "val/speech/nominal_kbps_3")[-1] == pytest.approx((6 + 2 * 4) * 50 / 1000)
    events = EventAccumulator(str(trained / "tensorboard"))
    events.Reload()
    tags = set(events.Tags()["scalars"])
    assert {f"val/speech/{name}{n}" for name in ("mel", "si_sdr") for n in ("", "_3", "_5", "_9")} <= tags
    assert {
        "train/mel",
        "train/waveform_l1",
        "train/commitment",
        "train/gain",
        "val/usage_0",
        "val/perplexity_12",
    } <= tags


def test_the_checkpoint_codes_a_sound(trained: Path) -> None:
    media, model = sound(), codec.load(trained / "audio-speech-16k")
    assert isinstance(model, SoundCodec)
    decoded = model.decompress(model.compress(media))
    assert decoded.samples.shape == media.samples.shape
    assert len(model.read_codes(io.BytesIO(model.compress(media))).planes) == 13
    assert "steps: 30" in (trained / "audio-speech-16k" / "card.md").read_text()
    assert isinstance(model.encoder, LowBit)
    assert isinstance(model.decoder, LowBit)
    frequencies = model.prior.state_dict()  # fitted: no longer uniform
    assert any(len(set(table.flatten().tolist())) > 2 for table in frequencies.values())


def test_resume_continues_exactly_with_its_discriminators(root: Path, tmp_path: Path) -> None:
    """Every weight, buffer, moment and running mean, to the last bit."""
    steps = [*NETWORKS, "total_steps=4", "model.quantizer.shape.dropout=0.5"]
    run("train_sound", root, tmp_path / "once", *steps)
    run("train_sound", root, tmp_path / "twice", *steps, "trainer.max_steps=2")
    run("train_sound", root, tmp_path / "twice", *steps, "resume=last")
    for part in ("current_model_state", "state_dict"):
        once, twice = weights(tmp_path / "once", part), weights(tmp_path / "twice", part)
        assert once.keys() == twice.keys()
        assert not [name for name in once if not torch.equal(once[name], twice[name])]
    once = weights(tmp_path / "once")
    assert once["fidelity.parts.adversary.steps"] == 4
    assert any(name.startswith("fidelity.parts.adversary.discriminator.parts.periods.") for name in once)
    assert once["loss.counts"].min() > 0  # all balanced terms have been heard


def test_a_run_that_was_stopped_is_exported_as_it_would_have_been(root: Path, tmp_path: Path) -> None:
    run("train_sound", root, tmp_path / "run", "total_steps=2")
    config = shrunk("train_sound", root, tmp_path / "run", "total_steps=2")
    export_stopped(config, tmp_path / "run" / "last.ckpt", tmp_path / "stopped")
    (own,) = (tmp_path / "run").glob("*/model.safetensors")
    first, second = load_file(own), load_file(tmp_path / "stopped" / "model.safetensors")
    assert first.keys() == second.keys()
    assert not [name for name in first if not torch.equal(first[name], second[name])]


@pytest.mark.parametrize("experiment", EXPERIMENTS)
def test_every_experiment_takes_two_steps(root: Path, tmp_path: Path, experiment: str) -> None:
    crop = 4800 if experiment == "audio_24k" else 3200
    run("train_sound", root, tmp_path, f"experiment={experiment}", "total_steps=2", f"data.crop={crop}",
        "trainer.val_check_interval=2")  # fmt: skip
    (folder,) = (path.parent for path in tmp_path.glob("*/model.safetensors"))
    model = load_as(SoundCodec, folder)
    assert len(model.encode(torch.zeros(1, 1, 3000)).planes) == len(model.quantizer.codebook_sizes)


def test_a_new_decoder_reads_old_files(root: Path, trained: Path, tmp_path: Path) -> None:
    keep = [f"training.keep_codes_of={trained / 'audio-speech-16k'}", "loss=sound_plain", "name=sharper"]
    run("train_sound", root, tmp_path, *keep, "total_steps=3")
    kept, new = (load_as(SoundCodec, path) for path in (trained / "audio-speech-16k", tmp_path / "sharper"))
    before, after = kept.state_dict(), new.state_dict()
    moved = {name for name in before if not torch.equal(before[name], after[name])}
    assert moved
    assert all(name.startswith("decoder.") for name in moved)
    data = kept.compress(sound())
    assert not torch.equal(kept.decompress(data).samples, new.decompress(data).samples)


def test_a_prior_makes_files_smaller_that_it_reads(root: Path, trained: Path, tmp_path: Path) -> None:
    tokenizer = trained / "audio-speech-16k"
    prior = [f"tokenizer={tokenizer}", "name=with-prior", "total_steps=30", "tokens.levels_db=[0,-6]"]
    quick = ["training.optimisation.learning_rate=1e-2", "training.optimisation.warmup_steps=3"]
    run("train_sound_prior", root, tmp_path, *prior, *quick)
    model = load_as(SoundCodec, tmp_path / "with-prior")
    media = sound(1.0)
    learned, static = model.compress(media), model.compress(media, Encoding(prior="static"))
    assert torch.equal(model.decompress(learned).samples, model.decompress(static).samples)
    card = (tmp_path / "with-prior" / "card.md").read_text()
    assert "held-out clips in packets of 8 frames" in card
    assert float(re.search(r"learned (\d+\.\d+) ", card)[1]) < float(re.search(r"nominal (\d+\.\d+),", card)[1])
    bits = logged(tmp_path, "train/bits_a_token")
    assert bits[-1] < bits[0] - 0.1


def module_of(root: Path, output: Path, *overrides: str) -> object:
    config = shrunk("train_sound", root, output, *overrides)
    parts = {"fidelity": config.loss.fidelity, "loss": config.loss.weights}
    return instantiate(config.training, model=build(plain(config.model)), **parts)


def test_silence_in_a_batch_has_finite_gradients(root: Path, tmp_path: Path) -> None:
    module = module_of(root, tmp_path, *NETWORKS)
    module.log_dict = lambda values: None  # there is no trainer
    batch = torch.zeros(3, 1, 3200)
    batch[2, 0, 1600:] = 0.1 * torch.randn(1600)
    samples = module.samples(batch)
    quantized = module._quantize(samples)
    decoded = module.model.decoder(quantized.vectors.movedim(-1, 1))
    samples, decoded = module.judged(samples, decoded)
    module.loss(module.fidelity(samples, decoded) | quantized.losses, decoded).backward()
    gradients = [parameter.grad for parameter in module.parameters() if parameter.grad is not None]
    assert len(gradients) > 20
    assert all(gradient.isfinite().all() for gradient in gradients)


def test_losses_leave_out_what_cannot_be_known(root: Path, tmp_path: Path) -> None:
    module = module_of(root, tmp_path, "training.warmup_frames=2")
    samples, decoded = module.judged(torch.arange(3200.0)[None, None], torch.arange(3200.0)[None, None])
    assert (int(samples[0, 0, 0]), int(samples[0, 0, -1])) == (640, 3200 - 320 - 1)
    assert torch.equal(samples, decoded)
    with pytest.raises(ValueError, match="a frame 320: use whole frames"):
        module.samples(torch.zeros(1, 1, 3300))
    with pytest.raises(ValueError, match="more than the 3"):
        module.samples(torch.zeros(1, 1, 960))


def test_validation_refuses_planes_and_clips_that_it_cannot_measure(root: Path, tmp_path: Path) -> None:
    with pytest.raises(Exception, match=r"planes must be of \[2, 3, .*, got \[1\]"):
        module_of(root, tmp_path, "training.planes=[1]")
    module = module_of(root, tmp_path, "training.pesq=true")
    with pytest.raises(UsageError, match=r"cannot measure PESQ of speech/a\.wav: the original is silent"):
        module._measured(torch.zeros(16_000), torch.randn(16_000), "speech/a.wav", 13)
