"""Backbones and blocks, with no opinion on codecs: an encoder and its decoder per file."""

from codec.nn.blocks import ChannelNorm, ConvBlock, channels_last
from codec.nn.patch import PatchBasis, PatchDecoder, PatchEncoder, principal_basis

__all__ = ["ChannelNorm", "ConvBlock", "PatchBasis", "PatchDecoder", "PatchEncoder", "channels_last", "principal_basis"]
