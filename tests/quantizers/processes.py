"""Quantizers with a state, trained a little by one process or by one of two: `python -m tests.quantizers.processes RANK MEETING`."""

import sys

import torch
from torch import Tensor
from torch import distributed as dist

from codec.quantizers import (
    Affine,
    AlternatingCodebook,
    AnchoredCodebook,
    Bridge,
    ClosestAnchor,
    GradientCodebook,
    GumbelSoftmax,
    ProbableAnchor,
    RandomAnchor,
    SharedLinear,
    Transport,
    VectorQuantizer,
)
from codec.quantizers.codebooks.anchors import Anchor


def members() -> dict[str, VectorQuantizer]:
    """Small quantizers, the same in every process."""
    torch.manual_seed(0)
    anchors: dict[str, Anchor] = {"closest": ClosestAnchor(), "random": RandomAnchor(), "probable": ProbableAnchor()}
    anchored = {name: AnchoredCodebook(32, 4, anchor=anchor, decay=0.8) for name, anchor in anchors.items()}
    revived = GradientCodebook(32, 4, parameterisation=SharedLinear(4), revive_below=0.5, decay=0.8)
    centroids = GradientCodebook(32, 4, parameterisation=SharedLinear(4), kmeans_iterations=3)
    bridge = GradientCodebook(32, 4, parameterisation=Bridge(4, group=4, width=16))
    return {
        **{name: VectorQuantizer(codebook) for name, codebook in anchored.items()},
        "alternating": VectorQuantizer(AlternatingCodebook(32, 4, parameterisation=Affine(4))),
        "revived": VectorQuantizer(revived),
        "centroids": VectorQuantizer(centroids),
        "bridge": VectorQuantizer(bridge),
        "transport": VectorQuantizer(AlternatingCodebook(32, 4, rate=0.5), Transport()),
    }


def train(part: slice) -> dict[str, Tensor]:
    """Four batches, of which this process sees some rows; all states by name, and codes drawn at random."""
    torch.set_num_threads(1)
    quantizers = members()
    for step in range(4):
        z = torch.randn(94, 4, generator=torch.Generator().manual_seed(step)) + step / 4
        for quantizer in quantizers.values():
            quantizer(z[part])
    drawn = VectorQuantizer(GradientCodebook(32, 4), estimator=GumbelSoftmax())(torch.zeros(60, 4)).codes
    states = {f"{name}.{key}": value for name, q in quantizers.items() for key, value in q.state_dict().items()}
    return states | {"drawn": drawn}


if __name__ == "__main__":
    rank, meeting = int(sys.argv[1]), sys.argv[2]
    dist.init_process_group("gloo", init_method=f"file://{meeting}", rank=rank, world_size=2)
    torch.save(train((slice(0, 40), slice(40, 94))[rank]), f"{meeting}.{rank}")
    dist.destroy_process_group()
