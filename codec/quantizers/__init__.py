"""Vectors to integers and back: one idea per file, channel-last, blind to modality."""

from codec.quantizers.attention import AttentionMap
from codec.quantizers.base import GridQuantized, GridQuantizer, Quantized, Quantizer, pass_gradient, prefixes_of
from codec.quantizers.bernoulli import Bernoulli
from codec.quantizers.bit_entropy import BitEntropy
from codec.quantizers.bsq import BSQ
from codec.quantizers.codebooks import (
    Affine,
    AlternatingCodebook,
    AnchoredCodebook,
    Bridge,
    ClosestAnchor,
    Codebook,
    EMACodebook,
    GradientCodebook,
    Parameterisation,
    ProbableAnchor,
    RandomAnchor,
    SharedLinear,
    kmeans,
)
from codec.quantizers.cross_scale_vectors import CrossScaleVectors
from codec.quantizers.digits import Digits
from codec.quantizers.distances import Cosine, DotProduct, Euclidean, RateDistortion
from codec.quantizers.dropout import StageDropout
from codec.quantizers.e8 import E8, E8P
from codec.quantizers.envelope import EnvelopeShape
from codec.quantizers.estimators import Estimator, Rotation, StraightThrough, Synchronised
from codec.quantizers.factorised import BranchAdapters, Disentanglement
from codec.quantizers.fsq import FSQ, EvenLevels, PaperLevels
from codec.quantizers.gain_shape import GainShape
from codec.quantizers.grid import (
    CrossScale,
    DynamicGranularity,
    Enlarge,
    LearnedRouter,
    MultiScale,
    PatchEntropy,
    TwoLevel,
)
from codec.quantizers.grouped import Grouped
from codec.quantizers.implicit import Implicit, Spherical
from codec.quantizers.lfq import LFQ
from codec.quantizers.mapped import LinearMap, Mapped
from codec.quantizers.probabilistic import Classifier, MaskedEuclidean
from codec.quantizers.product import Product
from codec.quantizers.projected import Projected
from codec.quantizers.pyramid import Pyramid
from codec.quantizers.regularisers import CodeEntropy, Contrast, Orthogonality, Regulariser
from codec.quantizers.residual import Residual
from codec.quantizers.search import nearest
from codec.quantizers.shared_residual import SharedResidual
from codec.quantizers.soft import GumbelSoftmax, IndexBackpropagation
from codec.quantizers.transport import Transport, Wasserstein
from codec.quantizers.turbo import QJL, TurboQuant
from codec.quantizers.vq import VectorQuantizer

__all__ = [
    "BSQ",
    "E8",
    "E8P",
    "FSQ",
    "LFQ",
    "QJL",
    "Affine",
    "AlternatingCodebook",
    "AnchoredCodebook",
    "AttentionMap",
    "Bernoulli",
    "BitEntropy",
    "BranchAdapters",
    "Bridge",
    "Classifier",
    "ClosestAnchor",
    "CodeEntropy",
    "Codebook",
    "Contrast",
    "Cosine",
    "CrossScale",
    "CrossScaleVectors",
    "Digits",
    "Disentanglement",
    "DotProduct",
    "DynamicGranularity",
    "EMACodebook",
    "Enlarge",
    "EnvelopeShape",
    "Estimator",
    "Euclidean",
    "EvenLevels",
    "GainShape",
    "GradientCodebook",
    "GridQuantized",
    "GridQuantizer",
    "Grouped",
    "GumbelSoftmax",
    "Implicit",
    "IndexBackpropagation",
    "LearnedRouter",
    "LinearMap",
    "Mapped",
    "MaskedEuclidean",
    "MultiScale",
    "Orthogonality",
    "PaperLevels",
    "Parameterisation",
    "PatchEntropy",
    "ProbableAnchor",
    "Product",
    "Projected",
    "Pyramid",
    "Quantized",
    "Quantizer",
    "RandomAnchor",
    "RateDistortion",
    "Regulariser",
    "Residual",
    "Rotation",
    "SharedLinear",
    "SharedResidual",
    "Spherical",
    "StageDropout",
    "StraightThrough",
    "Synchronised",
    "Transport",
    "TurboQuant",
    "TwoLevel",
    "VectorQuantizer",
    "Wasserstein",
    "kmeans",
    "nearest",
    "pass_gradient",
    "prefixes_of",
]
