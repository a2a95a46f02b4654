"""Lightning modules, losses and data modules: the only room that imports lightning."""

from codec.training.balancer import BalancedSum
from codec.training.classifier import ClassifierTraining, ExportClassifier, Labelled, LabelledData, ShardVectors
from codec.training.datamodule import ImageData
from codec.training.discriminators import Adversarial, Judgement, PatchDiscriminator
from codec.training.export import ExportCheckpoint, Narrowing
from codec.training.export_latent import ExportLatent
from codec.training.export_video import ExportVideoLatent
from codec.training.finite import FiniteSteps
from codec.training.generator import ExportGenerator, GeneratorTraining
from codec.training.jpeg_tokens import JpegTokens
from codec.training.latent import LatentTraining
from codec.training.losses import Distortions, Fidelity, WeightedSum
from codec.training.loudness_loss import LoudnessLoss
from codec.training.optimisation import Optimisation
from codec.training.patterns import PatchPattern
from codec.training.perceptual import Perceptual
from codec.training.prior import ExportPrior, PriorTraining
from codec.training.recipes import export_stopped, parts_of
from codec.training.semantic import SemanticDistillation
from codec.training.sound import SoundTraining
from codec.training.sound_augmentation import SoundAugmentation
from codec.training.sound_data import SoundArchive, SoundData
from codec.training.sound_discriminators import MultiBandSTFT, MultiPeriod, MultiScale, SoundDiscriminator
from codec.training.sound_losses import MelLoss, SpectralLoss, WaveformLoss
from codec.training.sound_tokens import SoundTokens
from codec.training.token_crops import ShardTokens, TokenCrops
from codec.training.tokenizer import TokenizerTraining
from codec.training.tokens import TokenData
from codec.training.video_data import ClipShape, VideoData
from codec.training.video_latent import VideoLatentTraining
from codec.training.video_tokenizer import VideoTokenizerTraining
from codec.training.video_tokens import VideoTokens

__all__ = [
    "Adversarial",
    "BalancedSum",
    "ClassifierTraining",
    "ClipShape",
    "Distortions",
    "ExportCheckpoint",
    "ExportClassifier",
    "ExportGenerator",
    "ExportLatent",
    "ExportPrior",
    "ExportVideoLatent",
    "Fidelity",
    "FiniteSteps",
    "GeneratorTraining",
    "ImageData",
    "JpegTokens",
    "Judgement",
    "Labelled",
    "LabelledData",
    "LatentTraining",
    "LoudnessLoss",
    "MelLoss",
    "MultiBandSTFT",
    "MultiPeriod",
    "MultiScale",
    "Narrowing",
    "Optimisation",
    "PatchDiscriminator",
    "PatchPattern",
    "Perceptual",
    "PriorTraining",
    "SemanticDistillation",
    "ShardTokens",
    "ShardVectors",
    "SoundArchive",
    "SoundAugmentation",
    "SoundData",
    "SoundDiscriminator",
    "SoundTokens",
    "SoundTraining",
    "SpectralLoss",
    "TokenCrops",
    "TokenData",
    "TokenizerTraining",
    "VideoData",
    "VideoLatentTraining",
    "VideoTokenizerTraining",
    "VideoTokens",
    "WaveformLoss",
    "WeightedSum",
    "export_stopped",
    "parts_of",
]
