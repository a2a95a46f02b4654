"""A picture to bytes and back by a model of CompressAI with random weights, to compare seconds and memory.

    .venv-compare/bin/python tools/peer_codec.py encode PICTURE OUT [--model mbt2018-mean] [--quality 3] [--threads 2]
    .venv-compare/bin/python tools/peer_codec.py decode IN PICTURE …

Nothing is downloaded. The architecture does the same work whatever its weights are; its entropy coder runs over all elements of
both latents with tables that `update()` makes of the random prior, but nearly all of them are 0, so its files are smaller and
its coder a little faster than with trained weights. Kept in `.venv-compare`, as compressai pins numpy below 2.
"""

import argparse
import struct
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

from codec.media import read_image, write_image
from codec.types import Media

STRIDE = 64  # its models need sides that are multiples
SIZES = struct.Struct("<5I")  # height, width, those of the hyper-latent, bytes of the latent's string


class PeerCodec:
    """A model of their zoo, made ready to code.

    Args:
        name: in `compressai.zoo.image_models`.
        quality: 1 to 8; the larger half has more channels.
    """

    def __init__(self, name: str, quality: int) -> None:
        from compressai.zoo import image_models

        torch.manual_seed(0)
        self._model: Any = image_models[name](quality=quality, pretrained=False).eval()
        self._model.update(force=True)

    @torch.inference_mode()
    def compress(self, media: Media) -> bytes:
        """A picture to its sizes and strings."""
        height, width = media.space
        x = media.samples[None].float() / 255
        coded = self._model.compress(F.pad(x, (0, -width % STRIDE, 0, -height % STRIDE)))
        (latent,), (hyper,) = coded["strings"]
        return SIZES.pack(height, width, *coded["shape"], len(latent)) + latent + hyper

    @torch.inference_mode()
    def decompress(self, data: bytes) -> Media:
        """The way back; for bytes of `compress` only, as they are not checked."""
        height, width, *shape, length = SIZES.unpack_from(data)
        strings = [[data[SIZES.size :][:length]], [data[SIZES.size + length :]]]
        decoded: Tensor = self._model.decompress(strings, shape)["x_hat"][0, :, :height, :width]
        return Media("image", decoded.clamp(0, 1).mul(255).round().to(torch.uint8))


def main() -> None:
    """One file to another."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("verb", choices=("encode", "decode"))
    parser.add_argument("source", type=Path)
    parser.add_argument("target", type=Path)
    parser.add_argument("--model", default="bmshj2018-hyperprior")
    parser.add_argument("--quality", type=int, default=3)
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    peer = PeerCodec(arguments.model, arguments.quality)
    if arguments.verb == "encode":
        arguments.target.write_bytes(peer.compress(read_image(arguments.source)))
    else:
        write_image(peer.decompress(arguments.source.read_bytes()), arguments.target)


if __name__ == "__main__":
    main()
