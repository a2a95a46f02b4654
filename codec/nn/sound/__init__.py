"""Backbones for sound: samples to frames and back, with a finite past, so that packets can be computed in one fixed shape.

An encoder takes float samples `(B, 1, T * hop)`, full scale 1, to frames `(B, D, T)`; a decoder takes them back. Both state

    hop     samples a frame
    past    frames before its own that a frame (encoder) or the samples of a frame (decoder) may depend on
    future  frames after it: 0 where all is causal, 1 where frames overlap

Zeros stand for what lies before the sound. A result whose whole past was given does not depend on where the input began.
"""

from codec.nn.sound.basis import LappedBasis, lapped_basis, mdct_basis, spectral_basis
from codec.nn.sound.causal import fold_weight_norm
from codec.nn.sound.dac import DacDecoder, DacEncoder
from codec.nn.sound.esc import BandPyramid, EscDecoder, EscEncoder
from codec.nn.sound.lapped import LappedDecoder, LappedEncoder
from codec.nn.sound.overlap import pad_to_frames
from codec.nn.sound.seanet import SeanetDecoder, SeanetEncoder
from codec.nn.sound.vocos import VocosDecoder, VocosEncoder

__all__ = [
    "BandPyramid",
    "DacDecoder",
    "DacEncoder",
    "EscDecoder",
    "EscEncoder",
    "LappedBasis",
    "LappedDecoder",
    "LappedEncoder",
    "SeanetDecoder",
    "SeanetEncoder",
    "VocosDecoder",
    "VocosEncoder",
    "fold_weight_norm",
    "lapped_basis",
    "mdct_basis",
    "pad_to_frames",
    "spectral_basis",
]
