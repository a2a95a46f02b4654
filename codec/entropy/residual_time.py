"""Priors for residual codes of sound."""

from codec.entropy.neighbour import NeighbourTokenPrior


class ResidualTimePrior(NeighbourTokenPrior):
    """Residual codes of sound over time, a plane a level, each given the levels before it and decoded neighbours in time.

    Chunks are independent; levels from the back may be dropped, since none looks at a later one.

    Args:
        codebook_size: of every level, at most 4096.
        levels: number of planes.
        kernel: frames that a network sees, odd.
        embedding_dim: of the vectors that stand for codes.
        width: hidden channels.
    """

    def __init__(
        self, codebook_size: int, levels: int = 4, *, kernel: int = 3, embedding_dim: int = 16, width: int = 32
    ) -> None:
        digits = [[codebook_size]] * levels
        super().__init__(digits, kernel=(1, kernel), embedding_dim=embedding_dim, width=width)
