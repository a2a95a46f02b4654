"""Lightning modules, losses and data modules: the only room that imports lightning."""

from codec.training.datamodule import ImageData
from codec.training.export import ExportCheckpoint
from codec.training.losses import Fidelity, WeightedSum
from codec.training.tokenizer import Optimisation, TokenizerTraining

__all__ = ["ExportCheckpoint", "Fidelity", "ImageData", "Optimisation", "TokenizerTraining", "WeightedSum"]
