"""What sounds are (speech, music or other), told from stored tokens and, by the same network, from the samples: accuracy and bytes.

    python tools/benchmark_classifier.py --data MEDIA [--model audio-24k] [--bitrates 1.5,3,6] [--steps 1500] [--seeds 0,1,2]

MEDIA holds `audio-train.tar` and `audio-val.tar`, whose folders are the classes; no speaker, piece or recording is in both. Tokens are
those of files at so many kbit/s; bytes are those of the files, for samples those of 16-bit integers at the model's rate. From samples
the network gets logarithmic mel spectra of 80 bins, 50 a second; from tokens the vectors that they stand for.
"""

import argparse
import io
import logging
import tarfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import lightning
import torch

from codec.evaluation.mel_distance import mel_filters
from codec.generation import TokenClassifier
from codec.media.audio import read_mono
from codec.models import Encoding, SoundCodec, load_as
from codec.nn import GridTransformer
from codec.training import ClassifierTraining, Labelled, LabelledData, Optimisation
from codec.types import Media

CLASSES = {"speech": 0, "music": 1, "sound": 2}
BINS, WINDOW, FRAMES_A_SECOND = 80, 1024, 50


@dataclass(frozen=True)
class Stored:
    """Clips as they are stored.

    Attributes:
        files: vectors and classes.
        bytes: of all of them.
    """

    files: list[Labelled]
    bytes: int


def clips(archive: Path, rate: int) -> Iterator[tuple[Media, int]]:
    """Mono clips at a rate, with their class."""
    with tarfile.open(archive) as tar:
        for member in tar:
            found = tar.extractfile(member)
            if found is None:
                continue
            label = CLASSES[Path(member.name).parts[0].rstrip("0123456789")]
            yield Media("audio", read_mono(found.read(), name=member.name, rate_hz=rate)[None], {}, rate), label


@torch.inference_mode()
def as_samples(media: Sequence[tuple[Media, int]], rate: int) -> Stored:
    """Mel spectra."""
    filters, hann = mel_filters(rate, WINDOW, BINS), torch.hann_window(WINDOW)
    files, total = [], 0
    for clip, label in media:
        spectrum = torch.stft(clip.samples[0], WINDOW, rate // FRAMES_A_SECOND, window=hann, return_complex=True)
        mel = (filters @ spectrum.abs()).clamp_min(1e-5).log10()
        files.append(Labelled(mel.T[None].clone(), label))
        total += 2 * clip.samples.shape[1]
    return Stored(files, total)


@torch.inference_mode()
def as_tokens(media: Sequence[tuple[Media, int]], model: SoundCodec, kbps: float) -> Stored:
    """Vectors of the codes in files at a bit rate."""
    files, total = [], 0
    for clip, label in media:
        data = model.compress(clip, Encoding(bitrate=1000 * kbps))
        codes = torch.stack([plane.codes for plane in model.read_codes(io.BytesIO(data)).planes], -1)
        files.append(Labelled(model.quantizer.decode(codes[0]).float().clone(), label))
        total += len(data)
    return Stored(files, total)


def accuracy(train: Stored, val: Stored, *, steps: int, seed: int) -> float:
    """Of the validation clips, after training."""
    lightning.seed_everything(seed)
    data = LabelledData(train.files, val.files, crop=(1, FRAMES_A_SECOND), batch_size=24, seed=seed)
    network = GridTransformer(64, 2, 4, window=(1, FRAMES_A_SECOND))
    model = TokenClassifier(data.vector_dim, len(CLASSES), network)
    choice = Optimisation(1e-3, weight_decay=0.05, warmup_steps=100, constant_until=0.3)
    module = ClassifierTraining(model, optimisation=choice, total_steps=steps, seed=seed)
    trainer = lightning.Trainer(
        max_steps=steps,
        max_epochs=-1,
        val_check_interval=steps,
        check_val_every_n_epoch=None,
        num_sanity_val_steps=0,
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
    )
    trainer.fit(module, datamodule=data)
    return float(trainer.callback_metrics["val/accuracy"])


def main(words: Sequence[str] | None = None) -> None:
    """Print a table."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--model", default="audio-24k")
    parser.add_argument("--bitrates", default="1.5,3,6")
    parser.add_argument("--steps", type=int, default=1500)
    parser.add_argument("--seeds", default="0,1,2")
    arguments = parser.parse_args(words)
    logging.getLogger("lightning.pytorch").setLevel(logging.ERROR)
    model = load_as(SoundCodec, arguments.model)
    media = [list(clips(arguments.data / f"audio-{part}.tar", model.rate)) for part in ("train", "val")]
    rows = {"16-bit samples": [as_samples(part, model.rate) for part in media]}
    for kbps in map(float, arguments.bitrates.split(",")):
        rows[f"tokens at {kbps:g} kbit/s"] = [as_tokens(part, model, kbps) for part in media]
    whole = sum(part.bytes for part in rows["16-bit samples"])
    print(f"{len(media[0])} clips for training, {len(media[1])} for validation, seeds {arguments.seeds}")
    print("| stored | bytes | of the samples | accuracy | each seed |")
    print("|---|---|---|---|---|")
    for name, (train, val) in rows.items():
        found = [accuracy(train, val, steps=arguments.steps, seed=int(seed)) for seed in arguments.seeds.split(",")]
        total, each = train.bytes + val.bytes, ", ".join(f"{100 * one:.1f} %" for one in found)
        mean = 100 * sum(found) / len(found)
        print(f"| {name} | {total:,} | {100 * total / whole:.2f} % | {mean:.1f} % | {each} |", flush=True)


if __name__ == "__main__":
    main()
