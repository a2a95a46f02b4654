"""SoundCodec: encoder, quantizer, decoder and token prior of sound; a waveform becomes frames of codes and comes back.

samples ─encoder─► latent ─quantizer.encode─► codes ─prior─► packets
samples ◄─decoder─ vectors ◄─quantizer.decode─ codes ◄─prior─ packets
"""

import io
from dataclasses import replace
from typing import BinaryIO

import torch
from torch import Tensor

from codec.container import AudioFields
from codec.entropy import EntropyModel, StaticTokenPrior
from codec.errors import BitstreamError
from codec.media import SoundReader
from codec.models.base import PLAIN, Encoding, PriorName
from codec.models.frames import FrameDecoder, FrameEncoder, SoundBackbone
from codec.models.packet_reading import PacketReader
from codec.models.sound_reading import AT_ONCE, WHOLE, Excerpt, open_coded
from codec.models.sound_writing import cut_planes, write_codes, write_sound
from codec.models.tokenizer import Tokenizer
from codec.quantizers import Quantizer, prefixes_of
from codec.types import Codes, Media, MediaKind, Plane


class SoundCodec(Tokenizer[SoundBackbone]):
    """Discrete tokenizer for sound that also writes files and streams.

    Channels are coded each by itself, two of them as their mean and half their difference.

    Args:
        encoder: samples `(B, 1, T * hop)`, full scale 1, to latents `(B, latent_dim, T)`; causal.
        quantizer: works on `latent_dim` channels, channel-last.
        decoder: the way back.
        prior: as of every tokenizer.
        learned_prior: as of every tokenizer.
        latent_dim: stated once, checked against the quantizer.
        rate: samples a second that the networks work at; sounds of other rates are converted.
        block: frames that are computed at once, and a packet of a stream unless another length is asked for.

    Attributes:
        plane_counts: how many of its codes a frame may have, ascending; the last is all of them.
    """

    kind: MediaKind = "audio"

    def __init__(
        self,
        encoder: SoundBackbone,
        quantizer: Quantizer,
        decoder: SoundBackbone,
        prior: StaticTokenPrior | None = None,
        learned_prior: EntropyModel | None = None,
        *,
        latent_dim: int,
        rate: int,
        block: int = 16,
    ) -> None:
        super().__init__(encoder, quantizer, decoder, prior, learned_prior, latent_dim)
        if encoder.hop != decoder.hop:
            raise ValueError(f"the encoder's hop is {encoder.hop} but the decoder's is {decoder.hop}")
        if encoder.future:
            raise ValueError(f"an encoder of a stream sees no later frames, this one sees {encoder.future}")
        self.hop, self.rate, self.block, self.delay = encoder.hop, rate, block, decoder.future
        self.plane_counts = prefixes_of(quantizer)

    def geometry(self) -> dict[str, int]:
        """All that says how many frames a sound has; a block is only how the codes are computed."""
        return {"hop": self.hop, "rate": self.rate, "delay": self.delay}

    def frames(self, samples: int) -> int:
        """How many frames stand for so many samples at the model's rate."""
        return -(-samples // self.hop) + self.delay

    def frame_encoder(self, channels: int, packet: int) -> FrameEncoder:
        """For one sound; a packet shorter than a block is computed by itself."""
        block = min(self.block, packet)
        return FrameEncoder(self.encoder, self.quantizer, channels=channels, block=block, delay=self.delay)

    def frame_decoder(self, channels: int, packet: int) -> FrameDecoder:
        """The way back."""
        return FrameDecoder(self.decoder, channels=channels, block=min(self.block, packet))

    def vectors(self, codes: Tensor) -> Tensor:
        """int64 `(C, n, q)`, codes of the first planes, to `(C, n, D)`."""
        with torch.inference_mode():
            return self.quantizer.decode(codes.to(self.device))

    def encode(self, x: Tensor) -> Codes:
        """Samples to codes.

        Args:
            x: float `(B, C, N)`, full scale 1, at the model's rate; any length from 1.

        Returns:
            One plane `(B, C, frames)` for each code of a frame.
        """
        if x.ndim != 3 or 0 in x.shape:
            raise ValueError(f"expected samples (B, C, N), got {tuple(x.shape)}")
        coded = []
        for sound in x:
            encoder = self.frame_encoder(x.shape[1], self.block)
            coded.append(torch.cat([encoder.push(sound), encoder.finish()], 1))
        planes = torch.stack(coded).unbind(-1)
        sized = zip(planes, self.quantizer.codebook_sizes, strict=True)
        return Codes(
            tuple(Plane(codes.contiguous(), size) for codes, size in sized), droppable_from=self.plane_counts[0]
        )

    def decode(self, codes: Codes) -> Tensor:
        """Codes of all or of the first planes to samples `(B, C, (frames - delay) * hop)`; the caller cuts to the true length."""
        decoded = []
        for sound in torch.stack([plane.codes for plane in codes.planes], -1):
            decoder = self.frame_decoder(len(sound), self.block)
            decoded.append(torch.cat([decoder.push(self.vectors(sound)), decoder.finish()], 1))
        return torch.stack(decoded)

    def compress(self, media: Media, encoding: Encoding = PLAIN) -> bytes:
        """A sound to the bytes of a `.lmc` file."""
        sink = io.BytesIO()
        self.compress_to(media, sink, encoding)
        return sink.getvalue()

    def compress_to(self, media: Media, sink: BinaryIO, encoding: Encoding = PLAIN) -> None:
        """As `compress`, written front to back into an open file or pipe."""
        self.write(SoundReader.of(media), sink, encoding)

    def write(self, sound: SoundReader, sink: BinaryIO, encoding: Encoding = PLAIN, *, live: bool = False) -> None:
        """A sound of any length, read, coded and written packet by packet; `live` writes each as soon as its sound was read."""
        encoding.check_sound()
        write_sound(self, sound, sink, encoding, live=live)

    def write_codes(self, fields: AudioFields, codes: Codes, sink: BinaryIO, prior: PriorName) -> None:
        """Write codes `(1, C, frames)` of the first planes as a file of a sound of these fields."""
        write_codes(self, fields, torch.stack([plane.codes[0] for plane in codes.planes], -1), sink, prior)

    def decompress(self, data: bytes, *, partial: bool = False) -> Media:
        """The bytes of a `.lmc` file to a sound; `partial` conceals what is damaged instead of refusing."""
        return self.open(io.BytesIO(data), partial=partial).read()

    def open(
        self,
        source: BinaryIO,
        *,
        partial: bool = False,
        live: bool = False,
        excerpt: Excerpt = WHOLE,
        name: str = "the file",
    ) -> SoundReader:
        """A `.lmc` file or pipe as a sound that is decoded while it is read; `live` decodes each packet as soon as it came."""
        return open_coded(self, source, name=name, live=live, partial=partial, excerpt=excerpt)

    def packets(self, source: BinaryIO, *, partial: bool = False) -> PacketReader:
        """The packets of a file or pipe."""
        return PacketReader(source, priors=self.priors_by_hash(), choices=self.plane_counts, partial=partial)

    def read_codes(self, source: BinaryIO, *, partial: bool = False) -> Codes:
        """The codes `(1, C, frames)` of the planes that all packets have, without the decoder network; lost frames are left out."""
        return self.read_fields(source, partial=partial)[1]

    def read_fields(self, source: BinaryIO, *, partial: bool = False) -> tuple[AudioFields, Codes]:
        """The same, with what the file says of the sound."""
        packets = self.packets(source, partial=partial)
        parts = [part.codes for part in packets.frames(AT_ONCE) if part.codes is not None]
        if not parts:
            raise BitstreamError("no packet is whole", "codes")
        kept = min(part.shape[-1] for part in parts)
        planes = torch.cat([part[..., :kept] for part in parts], 1)[None].unbind(-1)
        sized = zip(planes, self.quantizer.codebook_sizes[:kept], strict=True)
        codes = tuple(Plane(codes.contiguous(), size) for codes, size in sized)
        fields = replace(packets.fields, samples=packets.samples or 0)
        return fields, Codes(codes, droppable_from=self.plane_counts[0])

    def truncate(self, source: BinaryIO, sink: BinaryIO, planes: int) -> None:
        """Copy a file with the first planes of each packet only, none of which is computed anew."""
        cut_planes(self, source, sink, planes)
