"""What lost packets cost: PESQ, STOI and mel distance of a model of sound when 0, 5, 10 and 20 % of the packets do not arrive.

    python tools/benchmark_sound_loss.py --data MEDIA --models NAME,… [--losses 0,5,10,20] [--packet MS] [--bitrate KBITS]
        [--kinds speech,…] [--made] [--json FILE]

MEDIA holds `audio-val.tar`. Each clip is coded as a stream (packets of 320 ms unless --packet says otherwise); packets are lost at random,
each by itself, with a seed for each clip, but never all of a clip. Concealed is what `codec decode --partial` gives; silent the same
with silence where the lost packets' sound was; made, with --made, what `--conceal` gives: codes by the generative model of these codes.
"""

import argparse
import io
import json
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import torch
from benchmark_sound import RATES_HZ, Clip, choose, read_clips
from torch import Tensor

from codec.cli.measure import split_names
from codec.container import Reader, SectionType
from codec.evaluation import CodedSound, SoundSummary, measure_sound, summarise_sounds
from codec.generation.checkpoint import attach_generators, find_generator
from codec.media import SoundReader
from codec.media.files import whole_file
from codec.models import Encoding, SoundCodec, load_as
from codec.models.sound_writing import packet_frames


@dataclass(frozen=True)
class Stream:
    """A coded clip and where its packets lie.

    Attributes:
        data: of the file.
        packets: first byte, and the byte behind the last, of each packet's section.
    """

    data: bytes
    packets: tuple[tuple[int, int], ...]

    def without(self, lost: Sequence[int]) -> bytes:
        """The file, the last byte of each lost packet's checksum turned."""
        changed = bytearray(self.data)
        for packet in lost:
            changed[self.packets[packet][1] - 1] ^= 0xFF
        return bytes(changed)


def stream_of(model: SoundCodec, clip: Clip, encoding: Encoding) -> Stream:
    """Code a clip as it would come through a pipe, except that its length is known."""
    sink = io.BytesIO()
    model.write(SoundReader.of(clip.media), sink, encoding, live=True)
    reader, packets = Reader(io.BytesIO(sink.getvalue())), []
    before = reader.bytes_read
    for section in reader:
        if section.type == SectionType.CODES:
            packets.append((before, reader.bytes_read))
        before = reader.bytes_read
    return Stream(sink.getvalue(), tuple(packets))


def draw(count: int, percent: float, seed: int) -> list[int]:
    """Packets that are lost: none at 0 %, never all."""
    random = np.random.default_rng(seed)
    lost = np.flatnonzero(random.random(count) < percent / 100).tolist()
    return lost[: count - 1]


def decodings(
    model: SoundCodec, clip: Clip, stream: Stream, lost: list[int], packet: int
) -> Iterator[tuple[str, Tensor]]:
    """The clip concealed, silent where packets of so many samples are lost, and made; filled up where the last ones are."""
    fill, model.fill = model.fill, None
    whole = partly(model, clip, stream, lost)
    model.fill = fill
    yield "concealed", whole
    silent = whole.clone()
    for place in lost:
        silent[:, place * packet : (place + 1) * packet] = 0
    yield "silent", silent
    if fill is not None:
        yield "made", partly(model, clip, stream, lost)


def partly(model: SoundCodec, clip: Clip, stream: Stream, lost: list[int]) -> Tensor:
    """What is decoded of a stream without the lost packets, as long as the clip."""
    whole = torch.zeros_like(clip.media.samples)
    decoded = model.decompress(stream.without(lost), partial=True).samples
    whole[:, : decoded.shape[1]] = decoded
    return whole


def measure(
    name: str, model: SoundCodec, clips: Sequence[Clip], losses: Sequence[float], encoding: Encoding
) -> list[SoundSummary]:
    """A row for each loss and way."""
    rows = []
    for seed, clip in enumerate(clips):
        stream = stream_of(model, clip, encoding)
        packet = packet_frames(model, encoding.packet_ms, live=True) * model.hop * clip.media.rate // model.rate
        for percent in losses:
            for way, decoded in decodings(model, clip, stream, draw(len(stream.packets), percent, seed), packet):
                coded = CodedSound(f"{name} {percent:g}% {way}", stream.data, decoded, 0.0, 0.0)
                rows.append(measure_sound(clip.name, clip.kind, clip.media, coded))
    return summarise_sounds(rows)


def main() -> None:
    """Print a line for each model, loss and way."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--models", required=True, help="names or folders")
    parser.add_argument("--losses", default="0,5,10,20", help="percent of the packets (%(default)s)")
    parser.add_argument("--packet", type=float, help="milliseconds")
    parser.add_argument("--bitrate", type=float, help="kbit/s")
    parser.add_argument("--kinds", default="speech", help="%(default)s")
    parser.add_argument("--made", action="store_true", help="also by the generative model of the codes")
    parser.add_argument("--json", type=Path)
    asked = parser.parse_args()
    kinds = choose(asked.kinds, list(RATES_HZ), "kind")
    clips = list(read_clips(asked.data / "audio-val.tar", kinds))
    encoding = Encoding(packet_ms=asked.packet, bitrate=None if asked.bitrate is None else 1000 * asked.bitrate)
    found = []
    for name in split_names(asked.models):
        losses, model = [float(text) for text in split_names(asked.losses)], load_as(SoundCodec, name)
        if asked.made:
            attach_generators(model, [find_generator(model.coding_hash("static").hex(), masked=True).folder])
        for row in measure(Path(name).name, model, clips, losses, encoding):
            speech = "" if row.pesq is None else f"PESQ {row.pesq:.3f}  STOI {row.stoi:.3f}  "
            print(f"{row.kind:7} {row.codec:36} {row.kbps:6.2f} kbit/s  {speech}mel {row.mel_distance:.3f}")
            found.append(asdict(row))
    if asked.json:
        with whole_file(asked.json) as file:
            file.write(json.dumps(found, indent=2).encode() + b"\n")


if __name__ == "__main__":
    main()
