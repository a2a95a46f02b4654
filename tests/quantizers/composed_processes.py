"""Composed quantizers, trained a little by one of two processes: `python -m tests.quantizers.composed_processes RANK MEETING`."""

import sys

import torch
from torch import Tensor, nn
from torch import distributed as dist

from codec.quantizers import (
    FSQ,
    Cosine,
    CrossScale,
    DynamicGranularity,
    EMACodebook,
    Enlarge,
    GradientCodebook,
    LearnedRouter,
    LinearMap,
    Mapped,
    MultiScale,
    Product,
    Residual,
    SharedResidual,
    VectorQuantizer,
)


def table(revive_below: float = 0.0) -> VectorQuantizer:
    return VectorQuantizer(EMACodebook(16, 4, kmeans_iterations=3, revive_below=revive_below, decay=0.8))


def members() -> dict[str, tuple[nn.Module, list[tuple[int, ...]]]]:
    """Small quantizers, the same in every process, with the shapes of their features."""
    torch.manual_seed(0)
    cosine = VectorQuantizer(GradientCodebook(16, 2, kmeans_iterations=3), Cosine())
    fine, coarse = (4, 4, 4), (2, 2, 4)
    return {
        "residual": (Residual([Product([cosine, FSQ([3, 3])]), table(), table(0.5)], dropout=1.0), [(4,)]),
        "shared": (SharedResidual(table(), 2), [(4,)]),
        "mapped": (Mapped(LinearMap(6, 4), FSQ([3] * 4), LinearMap(4, 6)), [(6,)]),
        "multiscale": (MultiScale(table(), (2, 4)), [fine]),
        "cross_scale": (CrossScale([table(), table()], [Enlarge(4, 4)], dropout=1.0, axes=2), [fine, coarse]),
        "granularity": (DynamicGranularity(table(0.5), LearnedRouter(4)), [fine, coarse]),
    }


def train(rank: int) -> dict[str, Tensor]:
    """A start and three batches of random size; all states by name, with the random generator set apart in each process."""
    torch.set_num_threads(1)
    quantizers = members()
    torch.manual_seed(100 + rank)
    for quantizer, shapes in quantizers.values():
        for step in range(4):
            features = [torch.randn(20 + 3 * rank, *shape) for shape in shapes]
            given = features[0] if len(shapes[0]) == 1 else features
            quantizer(given) if step else quantizer.start(given)  # type: ignore[operator]
    return {f"{name}.{key}": value for name, (q, _) in quantizers.items() for key, value in q.state_dict().items()}


if __name__ == "__main__":
    rank, meeting = int(sys.argv[1]), sys.argv[2]
    dist.init_process_group("gloo", init_method=f"file://{meeting}", rank=rank, world_size=2)
    torch.save(train(rank), f"{meeting}.{rank}")
    dist.destroy_process_group()
