"""A small VideoTokenCodec at its PCA start, with a static prior: all the parts of the shipped one."""

from functools import cache

import torch

from codec.models import VideoTokenCodec
from codec.nn import CausalDecoder, CausalEncoder, block_basis, grouped
from codec.quantizers import FSQ
from tests.models.video_models import moving_clip

LEVELS = [8, 8, 8, 5]
CONFIG = {
    "_target_": "codec.models.VideoTokenCodec",
    "latent_dim": 4,
    "scene": 5,
    "chunk": 2,
    "encoder": {"_target_": "codec.nn.CausalEncoder", "latent_dim": 4, "width": 8, "depth": 2},
    "quantizer": {"_target_": "codec.quantizers.FSQ", "levels": LEVELS},
    "decoder": {"_target_": "codec.nn.CausalDecoder", "latent_dim": 4, "width": 8, "depth": 2, "mend_width": 4},
}


@cache
def small_video_tokens() -> VideoTokenCodec:
    """The same model at every call; not to be changed."""
    torch.manual_seed(0)
    encoder, decoder = CausalEncoder(4, width=8, depth=2), CausalDecoder(4, width=8, depth=2, mend_width=4)
    clips = [grouped(moving_clip(9, seed=seed).transpose(0, 1)[None].float() / 255, 4) for seed in range(6)]
    basis = block_basis(clips, 4, 4, 4.0)
    for network in (encoder, decoder):
        network.start_from(basis)
        for block in network.blocks.blocks:  # with something to be causal about
            torch.nn.init.normal_(block.contract.weight, std=0.02)
            torch.nn.init.normal_(block.taps, std=0.3)
    model = VideoTokenCodec(encoder, FSQ(LEVELS), decoder, latent_dim=4, scene=5, chunk=2)
    return model.eval().requires_grad_(False)
