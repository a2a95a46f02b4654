"""LatentCodec: analysis, a latent prior with its hyper-latent and contexts, synthesis; one model for every rate."""

from torch import nn

from codec.entropy import GroupedLatentPrior
from codec.nn import PyramidAnalysis, PyramidSynthesis


class LatentCodec(nn.Module):
    """Continuous-rate codec for pictures.

    Args:
        analysis: pixels to normalised latents.
        prior: their entropy model, which also holds the amplitudes of each quality.
        synthesis: normalised latents and quality levels to pixels.
        latent_dim: stated once, checked against the parts.
        chunk: side in latent positions of the square that one section of the file holds; contexts end there.
    """

    def __init__(
        self,
        analysis: PyramidAnalysis,
        prior: GroupedLatentPrior,
        synthesis: PyramidSynthesis,
        *,
        latent_dim: int,
        chunk: int = 128,
    ) -> None:
        super().__init__()
        self.analysis, self.prior, self.synthesis = analysis, prior, synthesis
        self.latent_dim, self.stride, self.chunk = latent_dim, analysis.stride, chunk
