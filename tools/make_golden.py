"""Make the tiny frozen models and the golden streams in tests/golden. Run only when the bitstream version changes.

python tools/make_golden.py
"""

import math
from dataclasses import replace
from pathlib import Path

import torch
from PIL import Image
from torch.nn import functional as F

from codec.media import open_sound, read_image, write_sound
from codec.models import SoundCodec, TokenCodec, VideoTokenCodec, save
from codec.models.checkpoint import build, load
from codec.nn import block_basis, grouped, lapped_basis, principal_basis
from codec.types import Media

GOLDEN = Path(__file__).resolve().parents[1] / "tests" / "golden"
CONFIG = {
    "_target_": "codec.models.TokenCodec",
    "latent_dim": 6,
    "tile": 8,
    "chunk": 8,
    "encoder": {"_target_": "codec.nn.PatchEncoder", "latent_dim": 6, "width": 8, "depth": 1},
    "quantizer": {
        "_target_": "codec.quantizers.VectorQuantizer",
        "codebook": {"_target_": "codec.quantizers.EMACodebook", "codebook_size": 64, "dim": 6, "kmeans_iterations": 5},
    },
    "decoder": {"_target_": "codec.nn.PatchDecoder", "latent_dim": 6, "width": 8, "depth": 1, "mend_width": 4},
}
CARD = "# tiny\n\nA frozen model for tests: PCA and k-means on noise, not trained.\n"


CODEBOOK = {
    "_target_": "codec.quantizers.VectorQuantizer",
    "codebook": {"_target_": "codec.quantizers.EMACodebook", "codebook_size": 16, "dim": 12, "kmeans_iterations": 5},
}
SOUND_CONFIG = {
    "_target_": "codec.models.SoundCodec",
    "latent_dim": 12,
    "rate": 8000,
    "block": 8,
    "encoder": {"_target_": "codec.nn.LappedEncoder", "latent_dim": 12, "hop": 40, "width": 8, "depth": 1},
    "quantizer": {
        "_target_": "codec.quantizers.GainShape",
        "gain_levels": 16,
        "shape": {"_target_": "codec.quantizers.Residual", "stages": [CODEBOOK] * 3},
    },
    "decoder": {"_target_": "codec.nn.LappedDecoder", "latent_dim": 12, "hop": 40, "width": 8, "depth": 1},
}
SOUND_CARD = "# tiny-sound\n\nA frozen model for tests: components of the MDCT and k-means on tones, not trained.\n"
SOUND_RATE = 8000

VIDEO_CONFIG = {
    "_target_": "codec.models.VideoTokenCodec",
    "latent_dim": 4,
    "scene": 5,
    "chunk": 2,
    "encoder": {"_target_": "codec.nn.CausalEncoder", "latent_dim": 4, "width": 8, "depth": 1},
    "quantizer": {"_target_": "codec.quantizers.FSQ", "levels": [5, 4, 4, 3]},
    "decoder": {"_target_": "codec.nn.CausalDecoder", "latent_dim": 4, "width": 8, "depth": 1, "mend_width": 4},
}
VIDEO_CARD = (
    "# tiny-video\n\nA frozen model for tests: the principal components of blocks of clouds that drift, not trained.\n"
)


def smooth_noise(count: int, height: int, width: int, seed: int) -> torch.Tensor:
    """Pictures of coloured clouds in [0, 1]."""
    generator = torch.Generator().manual_seed(seed)
    clouds = torch.zeros(count, 3, height, width)
    for cells in (2, 5, 13):
        noise = torch.rand(count, 3, cells, cells, generator=generator)
        clouds += F.interpolate(noise, (height, width), mode="bilinear") / cells**0.5
    return (clouds - clouds.amin()) / (clouds.amax() - clouds.amin())


def tones(count: int, length: int, seed: int) -> torch.Tensor:
    """Sounds `(count, 1, length)` of a few gliding tones that come and go, below full scale."""
    generator = torch.Generator().manual_seed(seed)
    time = torch.arange(length) / SOUND_RATE
    sounds = torch.zeros(count, 1, length)
    for _ in range(4):
        low, glide, rhythm, phase = torch.rand(4, count, 1, 1, generator=generator)
        swelling = (2 * math.pi * (4 * rhythm * time + phase)).sin().clamp_min(0)
        sounds += 0.2 * swelling * (2 * math.pi * (100 + 900 * low + 200 * glide * time) * time).sin()
    return sounds


def drifting(count: int, frames: int, height: int, width: int, seed: int) -> torch.Tensor:
    """Clips of clouds `(count, 3, frames, height, width)` in [0, 1] that drift two pixels a frame to the right."""
    clouds = smooth_noise(count, height, width + 2 * frames, seed)
    return torch.stack([clouds[..., 2 * t : 2 * t + width] for t in reversed(range(frames))], 2)


def make_pictures() -> None:
    """A model, two pictures and their streams."""
    torch.manual_seed(0)
    model = build(CONFIG)
    assert isinstance(model, TokenCodec)
    pictures = smooth_noise(40, 64, 64, seed=1)
    pictures[::2] = pictures[::2].mean(1, keepdim=True)
    basis = principal_basis([pictures], 6, 8, step=0.3)
    model.encoder.start_from(basis)  # type: ignore[attr-defined]
    model.decoder.start_from(basis)  # type: ignore[attr-defined]
    with torch.no_grad():
        model.quantizer.start(model.encoder(pictures).movedim(1, -1).reshape(-1, 6))
        codes = model.eval().encode(pictures).planes[0].codes
    model.prior.fit([torch.bincount(codes.flatten(), minlength=64)])
    save(GOLDEN / "tiny", model, CONFIG, CARD)
    frozen = load(GOLDEN / "tiny")
    for name, size, channels in (("colour", (75, 101), 3), ("grey", (9, 70), 1)):
        samples = (smooth_noise(1, 96, 112, seed=7)[0, :channels, : size[0], : size[1]] * 255).round().to(torch.uint8)
        array = samples.permute(1, 2, 0).squeeze(-1).numpy()
        Image.fromarray(array).save(GOLDEN / f"{name}.png")
        assert torch.equal(read_image(GOLDEN / f"{name}.png").samples, samples)
        (GOLDEN / f"{name}.lmc").write_bytes(frozen.compress(Media("image", samples)))


def make_sound() -> None:
    """A model, a sound of two channels and its streams: as a file, and as it came through a pipe."""
    torch.manual_seed(0)
    model = build(SOUND_CONFIG)
    assert isinstance(model, SoundCodec)
    sounds = tones(40, 1600, seed=1)
    basis = lapped_basis([sounds], 12, 40)
    model.encoder.start_from(basis)  # type: ignore[attr-defined]
    model.decoder.start_from(basis)  # type: ignore[attr-defined]
    with torch.no_grad():
        model.quantizer.start(model.encoder(sounds).movedim(1, -1).reshape(-1, 12))
        codes = model.eval().encode(sounds)
    model.prior.fit([torch.bincount(plane.codes.flatten(), minlength=plane.alphabet) for plane in codes.planes])
    save(GOLDEN / "tiny-sound", model, SOUND_CONFIG, SOUND_CARD)
    frozen = load(GOLDEN / "tiny-sound")
    assert isinstance(frozen, SoundCodec)
    samples = (tones(2, 5000, seed=7)[:, 0] * 32767).round() / 32768
    media = Media("audio", samples, {"tags": b'{"title": "tones"}'}, SOUND_RATE)
    write_sound(media, GOLDEN / "tones.wav")
    (GOLDEN / "tones.lmc").write_bytes(frozen.compress(media))
    with (GOLDEN / "tones.wav").open("rb") as file, open_sound(file) as sound, (GOLDEN / "live.lmc").open("wb") as sink:
        frozen.write(replace(sound, frames=None), sink, live=True)


def make_video() -> None:
    """A model, and the stream of a clip of two scenes."""
    torch.manual_seed(0)
    model = build(VIDEO_CONFIG)
    assert isinstance(model, VideoTokenCodec)
    clips = grouped(drifting(20, 9, 64, 64, seed=1), 4)
    basis = block_basis([clips], 4, 4, 0.25)
    model.encoder.start_from(basis)  # type: ignore[attr-defined]
    model.decoder.start_from(basis)  # type: ignore[attr-defined]
    with torch.no_grad():
        codes = model.eval().encode(drifting(20, 9, 64, 64, seed=1))
    model.prior.fit([torch.bincount(plane.codes.flatten(), minlength=plane.alphabet) for plane in codes.planes])
    save(GOLDEN / "tiny-video", model, VIDEO_CONFIG, VIDEO_CARD)
    frozen = load(GOLDEN / "tiny-video")
    samples = (drifting(1, 19, 50, 70, seed=7)[0] * 255).round().to(torch.uint8)
    (GOLDEN / "clouds.lmc").write_bytes(frozen.compress(Media("video", samples, {"rate": b"30000/1001"})))


if __name__ == "__main__":
    make_pictures()
    make_sound()
    make_video()
