"""Pictures in the comparison of quantizers: 8x8 pixels a position, PSNR and MS-SSIM."""

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import torch
from quantizer_media import Part, Quality
from torch import Tensor, nn

from codec.evaluation import ms_ssim, psnr
from codec.nn import PatchDecoder, PatchEncoder, principal_basis
from codec.training.crops import EndlessCrops
from codec.training.losses import Fidelity
from codec.training.pack import open_pack

LATENT_DIM, STRIDE, LATENT_STEP = 32, 8, 80 / 255
BATCH, CROP = 16, 128
LUMA = (0.299, 0.587, 0.114)  # ITU-R BT.601


class Pictures:
    """RGB in [0, 1], from `images-train.tar` and `images-val.tar`."""

    axes, stride, latent_dim = 2, STRIDE, LATENT_DIM
    memory_format = torch.channels_last
    start_batches = 60
    loss_scale = 3.2  # as in configs/loss/fidelity_gradient.yaml

    def __init__(self, data: Path, cache: Path) -> None:
        self.weights: Mapping[str, float] = {"mse": 50.0, "negative_psnr": 0.05}
        self.packs = {part: open_pack(str(data / f"images-{part}.tar"), cache) for part in ("train", "val")}
        self.distortion: nn.Module = Fidelity(decibels=True)

    def transforms(self) -> tuple[nn.Module, nn.Module]:
        """At 1/8 resolution."""
        return PatchEncoder(LATENT_DIM, width=96, depth=2), PatchDecoder(LATENT_DIM, width=128, depth=3)

    def start(self, encoder: nn.Module, decoder: nn.Module, batches: Sequence[Tensor]) -> None:
        """PCA of patches."""
        basis = principal_basis(batches, LATENT_DIM, STRIDE, LATENT_STEP)
        for transform in (encoder, decoder):
            assert isinstance(transform, PatchEncoder | PatchDecoder)
            transform.start_from(basis)

    def batch(self, number: int, seed: int) -> Tensor:
        """Crops."""
        crops = EndlessCrops(self.packs["train"], batch_size=BATCH, crop=CROP, seed=seed)
        return crops.batch(number).float() / 255

    def files(self, part: Part, multiple: int) -> Iterator[Tensor]:
        """Pictures, cut at the bottom and right."""
        pack, unit = self.packs[part], STRIDE * multiple
        for i in range(len(pack)):
            pixels = torch.from_numpy(pack[i].copy()).permute(2, 0, 1)[None]
            height, width = (side // unit * unit for side in pixels.shape[-2:])
            yield pixels[..., :height, :width].float() / 255

    def guide(self, samples: Tensor) -> Tensor:
        """Gray."""
        gray = (samples * samples.new_tensor(LUMA)[:, None, None]).sum(1)
        return (2 * gray - 1)[..., None]

    def quality(self, pairs: Iterator[tuple[Tensor, Tensor]]) -> Quality:
        """Of 8-bit pictures."""
        found = []
        for pair in pairs:
            original, decoded = ((pixels[0].clamp(0, 1) * 255).round().to(torch.uint8) for pixels in pair)
            found.append((psnr(original, decoded), ms_ssim(original, decoded)))
        decibels, similarity = (sum(values) / len(found) for values in zip(*found, strict=True))
        return Quality(psnr=decibels, ms_ssim=similarity)
