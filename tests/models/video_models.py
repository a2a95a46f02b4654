"""A small VideoLatentCodec at its PCA start, frozen, and a clip that moves: all the parts of the shipped one."""

from functools import cache

import torch
from torch import Tensor

from codec.entropy import ChannelContext, FlagPrior, GroupedLatentPrior, MotionPrior, NeighbourContext, PastPath
from codec.models import InterCodec, Structure, VideoLatentCodec
from codec.nn import ConditionalAnalysis, ConditionalSynthesis, principal_basis, spread_of
from codec.training import Optimisation, VideoLatentTraining
from codec.training.export_video import freeze_inter
from codec.training.latent import uniform_step
from tests.conftest import synthetic_picture
from tests.models.latent_models import CONFIG as INTRA
from tests.models.latent_models import small_latent_codec

DIM = 16
CONFIG = {
    "_target_": "codec.models.VideoLatentCodec",
    "group": 4,
    "structure": {"_target_": "codec.models.Structure", "period": 8, "intra": 96, "pattern": [0, 48]},
    "intra": INTRA,
    "inter": {
        "_target_": "codec.models.InterCodec",
        "latent_dim": DIM,
        "analysis": {"_target_": "codec.nn.ConditionalAnalysis", "latent_dim": DIM, "width": 16, "depth": 1},
        "synthesis": {
            "_target_": "codec.nn.ConditionalSynthesis",
            "latent_dim": DIM,
            "width": 16,
            "depth": 1,
            "middle_width": 8,
            "middle_depth": 1,
            "mend_width": 4,
        },
        "motion": {"_target_": "codec.entropy.MotionPrior", "width": 8},
        "kept": {"_target_": "codec.entropy.FlagPrior", "planes": 7, "width": 8},
        "prior": {
            "_target_": "codec.entropy.GroupedLatentPrior",
            "channels": DIM,
            "groups": [4, 12],
            "checkerboard": True,
            "contexts": [
                {"_target_": "codec.entropy.ChannelContext"},
                {"_target_": "codec.entropy.NeighbourContext", "kernel": 3},
            ],
            "past": {"_target_": "codec.entropy.PastPath", "channels": DIM, "width": 8, "features": 4},
            "hyper_channels": 4,
            "hyper_width": 8,
            "features": 8,
            "width": 16,
        },
    },
}


def moving_clip(frames: int, height: int = 48, width: int = 64, seed: int = 3) -> Tensor:
    """A picture that drifts by two pixels down and three to the right each frame, uint8 `(T, 3, H, W)`."""
    whole = synthetic_picture(height + 2 * frames, width + 3 * frames, seed)
    places = [(2 * (frames - t), 3 * (frames - t)) for t in range(frames)]
    return torch.stack([whole[:, top : top + height, left : left + width] for top, left in places])


@cache
def small_video_codec(*, kept: bool = True) -> VideoLatentCodec:
    """The same model at every call; not to be changed. The first video-latent keeps no blocks."""
    torch.manual_seed(0)
    prior = GroupedLatentPrior(
        DIM,
        groups=[4, 12],
        checkerboard=True,
        contexts=[ChannelContext(), NeighbourContext(kernel=3)],
        past=PastPath(DIM, width=8, features=4),
        hyper_channels=4,
        hyper_width=8,
        features=8,
        width=16,
    )
    inter = InterCodec(
        ConditionalAnalysis(DIM, width=16, depth=1),
        prior,
        ConditionalSynthesis(DIM, width=16, depth=1, middle_width=8, middle_depth=1, mend_width=4),
        MotionPrior(width=8),
        latent_dim=DIM,
        kept=FlagPrior(7, width=8) if kept else None,
    )
    structure = Structure(period=8, pattern=(0, 48))
    model = VideoLatentCodec(small_latent_codec(), inter, group=4, structure=structure)
    pictures = torch.stack([synthetic_picture(64, 64, seed) for seed in range(8)]).float() / 255
    basis = principal_basis([pictures[1:] - pictures[:-1]], DIM, 8, uniform_step(model.intra.finest))
    for transform in (inter.analysis, inter.synthesis):
        transform.start_from(basis)
    levels = torch.linspace(0, 1, 8)
    steps = torch.tensor([uniform_step(float(price)) for price in model.intra.distortion_price(levels)])[:, None]
    with torch.no_grad():
        prior.amplitudes.values.copy_(torch.log2(spread_of(basis) / steps))
    training = VideoLatentTraining(model, optimisation=Optimisation(), total_steps=1)
    freeze_inter(training.eval(), torch.stack([moving_clip(4, 64, 64, seed) for seed in range(6)]))
    return model.eval().requires_grad_(False)


def decibels(a: Tensor, b: Tensor) -> float:
    return float(10 * torch.log10(255**2 / (a.double() - b.double()).square().mean()))
