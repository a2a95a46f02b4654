"""A small LatentCodec at its PCA start, frozen: a classical codec with all the parts of the shipped one."""

from functools import cache

import torch

from codec.entropy import ChannelContext, GroupedLatentPrior, NeighbourContext
from codec.models import LatentCodec
from codec.nn import PyramidAnalysis, PyramidSynthesis, principal_basis, spread_of
from codec.training.export_latent import fit_tables, freeze_latent
from codec.training.latent import uniform_step
from tests.conftest import synthetic_picture

CONFIG = {
    "_target_": "codec.models.LatentCodec",
    "latent_dim": 24,
    "chunk": 16,
    "analysis": {
        "_target_": "codec.nn.PyramidAnalysis",
        "latent_dim": 24,
        "width": 16,
        "depth": 1,
    },
    "synthesis": {
        "_target_": "codec.nn.PyramidSynthesis",
        "latent_dim": 24,
        "width": 16,
        "depth": 1,
        "middle_width": 8,
        "middle_depth": 1,
        "mend_width": 4,
    },
    "prior": {
        "_target_": "codec.entropy.GroupedLatentPrior",
        "channels": 24,
        "groups": [4, 8, 12],
        "checkerboard": True,
        "contexts": [
            {"_target_": "codec.entropy.ChannelContext"},
            {"_target_": "codec.entropy.NeighbourContext", "kernel": 3},
        ],
        "hyper_channels": 4,
        "hyper_width": 8,
        "features": 8,
        "width": 16,
    },
}


@cache
def small_latent_codec() -> LatentCodec:
    """The same model at every call; not to be changed."""
    torch.manual_seed(0)
    transforms = CONFIG["analysis"], CONFIG["synthesis"]
    analysis, synthesis = (
        kind(24, **{name: value for name, value in node.items() if name not in ("_target_", "latent_dim")})  # type: ignore[attr-defined]
        for kind, node in zip((PyramidAnalysis, PyramidSynthesis), transforms, strict=True)
    )
    prior = GroupedLatentPrior(
        24,
        groups=[4, 8, 12],
        checkerboard=True,
        contexts=[ChannelContext(), NeighbourContext(kernel=3)],
        hyper_channels=4,
        hyper_width=8,
        features=8,
        width=16,
    )
    model = LatentCodec(analysis, prior, synthesis, latent_dim=24, chunk=16).eval().requires_grad_(False)
    pictures = [synthetic_picture(128, 128, seed) for seed in range(6)]
    basis = principal_basis([torch.stack(pictures).float() / 255], 24, 8, uniform_step(model.finest))
    analysis.start_from(basis)
    synthesis.start_from(basis)
    levels = torch.linspace(0, 1, 8)
    steps = torch.tensor([uniform_step(float(price)) for price in model.distortion_price(levels)])[:, None]
    prior.amplitudes.values.copy_(torch.log2(spread_of(basis) / steps))
    freeze_latent(model, pictures)
    fit_tables(model, pictures, gains=[0, 500, 1023])
    return model
