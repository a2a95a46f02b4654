"""Codes as the words of generative models: stored token data sets, word numbers, interleaving patterns whole and as a stream."""

from codec.generation.dataset import TokenDataset, TokenSequence
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
from codec.generation.records import TokenRecord, TokenSource
from codec.generation.shards import ShardFormat, open_shard, shard_path, shards_in, write_shard
from codec.generation.streams import FrameSteps, StepFrames
from codec.generation.vocabulary import Vocabulary

__all__ = [
    "EMPTY",
    "CoarseFirst",
    "Delay",
    "Flatten",
    "FrameSteps",
    "Grid",
    "Parallel",
    "Pattern",
    "Places",
    "Scales",
    "ShardFormat",
    "StepFrames",
    "TokenDataset",
    "TokenRecord",
    "TokenSequence",
    "TokenSource",
    "Vocabulary",
    "deinterleave",
    "interleave",
    "open_shard",
    "shard_path",
    "shards_in",
    "write_shard",
]
