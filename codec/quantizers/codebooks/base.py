"""What all codebook rules share: the start from data, and the revival of dead codes.

A rule holds `(K, D)` codewords and says how they follow the data. It sees vectors where the distance places them.
"""

import torch
from torch import Tensor, nn

from codec.quantizers.codebooks.kmeans import kmeans
from codec.quantizers.processes import from_first_process, gather_rows, sum_over_processes

STATISTICS = frozenset({"draws", "hits", "sums", "started", "updates"})  # buffers that only training reads


class Codebook(nn.Module):
    """Codewords with running hit counts; subclasses add the rule by which the codewords move.

    Args:
        codebook_size: K.
        dim: D.
        kmeans_iterations: Lloyd iterations on the first training vectors; 0 keeps the random start.
        revive_below: a code whose running hits fall below this fraction of a fair share restarts at a vector of the
            current batch; 0 never revives.
        decay: of the running hit counts.
    """

    hits: Tensor  # (K,) running mean of hits per batch
    started: Tensor  # bool: the codewords have seen data
    updates: Tensor  # number of training batches seen; seeds the draws, so that a resumed run draws the same

    def __init__(
        self,
        codebook_size: int,
        dim: int,
        *,
        kmeans_iterations: int = 0,
        revive_below: float = 0.0,
        decay: float = 0.99,
    ) -> None:
        super().__init__()
        self.codebook_size, self.dim = codebook_size, dim
        self.kmeans_iterations, self.revive_below, self.decay = kmeans_iterations, revive_below, decay
        self.register_buffer("hits", torch.ones(codebook_size))
        self.register_buffer("started", torch.tensor(kmeans_iterations == 0))
        self.register_buffer("updates", torch.tensor(0))
        self.hold(torch.randn(codebook_size, dim) * dim**-0.5)

    def hold(self, rows: Tensor) -> None:
        """Take the first `(K, D)` codewords into parameters or buffers."""
        raise NotImplementedError

    def vectors(self) -> Tensor:
        """`(K, D)` codewords."""
        raise NotImplementedError

    def losses(self, z: Tensor, q: Tensor) -> dict[str, Tensor]:
        """Loss terms of the rule, of `(N, D)` vectors and the codewords they chose (with gradient to the codewords)."""
        return {}

    def advance(self, z: Tensor, codes: Tensor) -> bool:
        """Move for a training batch before its codewords are read; True if any moved. Most rules only `learn` after."""
        return False

    def learn(self, z: Tensor, codes: Tensor) -> Tensor:
        """Take in one training batch, `(N, D)` and `(N,)`; returns the hits `(K,)` over all processes."""
        raise NotImplementedError

    def replace(self, rows: Tensor, vectors: Tensor) -> None:
        """Move the codewords at `rows` (int64) to `vectors`, without a trace of where they were."""
        raise NotImplementedError

    @torch.no_grad()
    def start(self, z: Tensor) -> None:
        """Set all codewords by k-means on `(N, D)` vectors, N well above K; the same on every process."""
        vectors = gather_rows(z.detach().float())
        centroids = kmeans(vectors, self.codebook_size, iterations=self.kmeans_iterations, generator=self._generator())
        self.replace(torch.arange(self.codebook_size, device=z.device), from_first_process(centroids))
        self.started.fill_(True)

    @torch.no_grad()
    def count(self, codes: Tensor) -> Tensor:
        """Hits of each code in this batch over all processes, `(K,)` float; also follows the running hits."""
        counts = sum_over_processes(torch.bincount(codes, minlength=self.codebook_size).to(self.hits))
        self.hits.lerp_(counts, 1 - self.decay)
        self.updates += 1
        return counts

    @torch.no_grad()
    def revive(self, z: Tensor) -> None:
        """Restart dead codes at vectors of the batch `(N, D)`, the same ones on every process."""
        if not self.revive_below:
            return
        share = self.hits.mean()
        dead = (self.hits < self.revive_below * share).nonzero().squeeze(1)
        candidates = gather_rows(z.detach().float()) if len(dead) else z
        if len(dead) == 0 or len(candidates) == 0:
            return
        order = torch.randperm(len(candidates), generator=self._generator())[: len(dead)].to(z.device)
        rows = dead[: len(order)]
        self.replace(rows, from_first_process(candidates[order].contiguous()))
        self.hits[rows] = share

    def _generator(self) -> torch.Generator:
        return torch.Generator().manual_seed(int(self.updates))
