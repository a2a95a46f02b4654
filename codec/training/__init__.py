"""Lightning modules, losses and data modules: the only room that imports lightning."""

from codec.training.datamodule import ImageData
from codec.training.discriminators import Adversarial, PatchDiscriminator
from codec.training.export import ExportCheckpoint
from codec.training.export_latent import ExportLatent
from codec.training.latent import LatentTraining
from codec.training.losses import Distortions, Fidelity, WeightedSum
from codec.training.optimisation import Optimisation
from codec.training.patterns import PatchPattern
from codec.training.perceptual import Perceptual
from codec.training.prior import ExportPrior, PriorTraining
from codec.training.tokenizer import TokenizerTraining
from codec.training.tokens import TokenData

__all__ = [
    "Adversarial",
    "Distortions",
    "ExportCheckpoint",
    "ExportLatent",
    "ExportPrior",
    "Fidelity",
    "ImageData",
    "LatentTraining",
    "Optimisation",
    "PatchDiscriminator",
    "PatchPattern",
    "Perceptual",
    "PriorTraining",
    "TokenData",
    "TokenizerTraining",
    "WeightedSum",
]
