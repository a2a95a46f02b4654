"""Lightning modules, losses and data modules: the only room that imports lightning."""

from codec.training.datamodule import ImageData
from codec.training.export import ExportCheckpoint
from codec.training.losses import Fidelity, WeightedSum
from codec.training.optimisation import Optimisation
from codec.training.prior import ExportPrior, PriorTraining
from codec.training.tokenizer import TokenizerTraining
from codec.training.tokens import TokenData

__all__ = [
    "ExportCheckpoint",
    "ExportPrior",
    "Fidelity",
    "ImageData",
    "Optimisation",
    "PriorTraining",
    "TokenData",
    "TokenizerTraining",
    "WeightedSum",
]
