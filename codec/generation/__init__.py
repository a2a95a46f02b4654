"""Codes as the words of generative models: stored token data sets, word numbers, interleaving patterns, and the models."""

from codec.generation.checkpoint import GeneratorInfo, find_generator, list_generators, load_generator, save_generator
from codec.generation.classifier import TokenAugmentation, TokenClassifier
from codec.generation.codebook import CodeSource
from codec.generation.conditions import NOTHING, Condition, Conditions, coarse_vectors
from codec.generation.dataset import TokenDataset, TokenSequence
from codec.generation.diffusion import DiffusionModel
from codec.generation.jpeg import JpegWords
from codec.generation.llama import LlamaTrunk
from codec.generation.masked import MaskedModel
from codec.generation.masked_prior import MaskedPrior
from codec.generation.model import TokenModel
from codec.generation.next_token import NextTokenModel
from codec.generation.patterns import (
    EMPTY,
    CoarseFirst,
    Delay,
    Flatten,
    Grid,
    Parallel,
    Pattern,
    Places,
    Scales,
    deinterleave,
    interleave,
)
from codec.generation.raster import RasterModel
from codec.generation.raster_prior import RasterPrior
from codec.generation.records import TokenRecord, TokenSource
from codec.generation.repair import Repair
from codec.generation.residual_transformer import ResidualTransformer
from codec.generation.sampling import Sampling
from codec.generation.shards import ShardFormat, open_shard, shard_path, shards_in, write_shard
from codec.generation.streams import FrameSteps, StepFrames
from codec.generation.vocabulary import Vocabulary
from codec.generation.words import BitWords, DigitPlanes, TableWords, Words

__all__ = [
    "EMPTY",
    "NOTHING",
    "BitWords",
    "CoarseFirst",
    "CodeSource",
    "Condition",
    "Conditions",
    "Delay",
    "DiffusionModel",
    "DigitPlanes",
    "Flatten",
    "FrameSteps",
    "GeneratorInfo",
    "Grid",
    "JpegWords",
    "LlamaTrunk",
    "MaskedModel",
    "MaskedPrior",
    "NextTokenModel",
    "Parallel",
    "Pattern",
    "Places",
    "RasterModel",
    "RasterPrior",
    "Repair",
    "ResidualTransformer",
    "Sampling",
    "Scales",
    "ShardFormat",
    "StepFrames",
    "TableWords",
    "TokenAugmentation",
    "TokenClassifier",
    "TokenDataset",
    "TokenModel",
    "TokenRecord",
    "TokenSequence",
    "TokenSource",
    "Vocabulary",
    "Words",
    "coarse_vectors",
    "deinterleave",
    "find_generator",
    "interleave",
    "list_generators",
    "load_generator",
    "open_shard",
    "save_generator",
    "shard_path",
    "shards_in",
    "write_shard",
]
