"""Make the tiny frozen model and the golden streams in tests/golden. Run only when the bitstream version changes.

python tools/make_golden.py
"""

from pathlib import Path

import torch
from PIL import Image
from torch.nn import functional as F

from codec.media import read_image
from codec.models import TokenCodec, save
from codec.models.checkpoint import build, load
from codec.nn import principal_basis
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


def smooth_noise(count: int, height: int, width: int, seed: int) -> torch.Tensor:
    """Pictures of coloured clouds in [0, 1]."""
    generator = torch.Generator().manual_seed(seed)
    clouds = torch.zeros(count, 3, height, width)
    for cells in (2, 5, 13):
        noise = torch.rand(count, 3, cells, cells, generator=generator)
        clouds += F.interpolate(noise, (height, width), mode="bilinear") / cells**0.5
    return (clouds - clouds.amin()) / (clouds.amax() - clouds.amin())


def main() -> None:
    """Write the model, two pictures and their streams."""
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


if __name__ == "__main__":
    main()
