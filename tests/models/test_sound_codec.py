"""SoundCodec: the same codes however sound arrives, exact lengths, packets that stand alone, excerpts, rates, concealment."""

import io
from dataclasses import replace

import pytest
import torch

from codec.container import Reader, SectionType, Writer
from codec.errors import BitstreamError, UsageError
from codec.evaluation import si_sdr
from codec.media import SoundReader
from codec.models import Encoding, SoundCodec
from codec.models.sound_reading import Excerpt
from codec.types import Codes, Media
from tests.models.sound_models import HOP, RATE, pieces, sound_codec, tones

LENGTHS = (1, HOP - 1, HOP, 8 * HOP, 8 * HOP + 1, 5003)


@pytest.fixture(scope="module")
def model() -> SoundCodec:
    codec = sound_codec()
    codec.seal()
    return codec


def live(model: SoundCodec, media: Media, encoding: Encoding | None = None) -> bytes:
    """The file of a sound whose length nobody knew beforehand."""
    sink = io.BytesIO()
    model.write(replace(SoundReader.of(media), frames=None), sink, encoding or Encoding(), live=True)
    return sink.getvalue()


def same(a: Codes, b: Codes) -> bool:
    return all(torch.equal(x.codes, y.codes) for x, y in zip(a.planes, b.planes, strict=True))


@pytest.mark.parametrize("length", LENGTHS)
@pytest.mark.parametrize("channels", [1, 2, 3])
def test_file_round_trip(model: SoundCodec, length: int, channels: int) -> None:
    media = tones(length, channels)
    decoded = model.decompress(model.compress(media))
    assert decoded.samples.shape == media.samples.shape
    assert decoded.rate == media.rate
    assert torch.equal(decoded.samples, model.decompress(live(model, media)).samples)


@pytest.mark.parametrize("seed", range(25))
def test_codes_do_not_depend_on_how_sound_arrives(model: SoundCodec, seed: int) -> None:
    random = torch.Generator().manual_seed(seed)
    length, piece = (int(torch.randint(1, high, (), generator=random)) for high in (3000, 1000))
    codec, samples = model, tones(length).samples
    encoder = codec.frame_encoder(1, codec.block)
    parts = [encoder.push(part) for part in pieces(samples, piece)]
    codes = torch.cat([*parts, encoder.finish()], 1)
    whole = codec.encode(torch.stack([samples, samples.flip(1)]))  # nor on its neighbour in a batch
    assert codes.shape == (1, codec.frames(length), 4)
    assert torch.equal(codes[0].T, torch.stack([plane.codes[0, 0] for plane in whole.planes]))


def test_file_and_pipe_have_the_same_codes(model: SoundCodec) -> None:
    media = tones(5003, 2)
    coded = [model.read_codes(io.BytesIO(data)) for data in (model.compress(media), live(model, media))]
    assert same(*coded)
    assert same(
        coded[0], model.encode(torch.stack([media.samples.mean(0), (media.samples[0] - media.samples[1]) / 2])[None])
    )


def test_a_model_without_network_gives_the_sound_back() -> None:
    media = tones(4000)
    coarse = sound_codec()
    for backbone in (coarse.encoder, coarse.decoder):
        for parameter in backbone.shaping.leave.parameters():  # type: ignore[attr-defined]
            torch.nn.init.zeros_(parameter)
    coarse.quantizer.start(coarse.encoder(media.samples[None]).detach()[0].T)
    assert si_sdr(media.samples[0], coarse.decompress(coarse.compress(media)).samples[0]) > 1


@pytest.mark.parametrize("rate", [4000, 11025, 44100, 192000])
def test_other_rates_come_back(model: SoundCodec, rate: int) -> None:
    media = tones(rate // 2 + 7, rate=rate)
    decoded = model.decompress(model.compress(media))
    assert (decoded.samples.shape, decoded.rate) == (media.samples.shape, rate)


def test_metadata_come_back(model: SoundCodec) -> None:
    media = replace(tones(500), metadata={"encoding": b"PCM_24", "tags": b'{"title": "T\xc3\xb6ne"}'})
    assert model.decompress(model.compress(media)).metadata == media.metadata


@pytest.mark.parametrize("milliseconds", [5, 30, 40, 123, 1000])
def test_packets_of_any_length(model: SoundCodec, milliseconds: float) -> None:
    media = tones(3000)
    data = model.compress(media, Encoding(packet_ms=milliseconds))
    assert model.decompress(data).samples.shape == media.samples.shape
    assert same(model.read_codes(io.BytesIO(data)), model.encode(media.samples[None])) or milliseconds < 40


@pytest.mark.parametrize("packet_ms", [40, 160])
@pytest.mark.parametrize(("start", "duration"), [(0.0, 0.5), (0.9, 0.001), (1.3, None), (2.499, 5.0)])
def test_an_excerpt_is_a_part_of_the_whole(
    model: SoundCodec, packet_ms: float, start: float, duration: float | None
) -> None:
    media = tones(11025 * 5 // 2, 2, rate=11025)
    data = model.compress(media, Encoding(packet_ms=packet_ms))
    begin = round(start * media.rate)
    end = None if duration is None else begin + round(duration * media.rate)
    part = model.open(io.BytesIO(data), excerpt=Excerpt(start, duration)).read()
    assert torch.equal(part.samples, model.decompress(data).samples[:, begin:end])


def test_an_excerpt_reads_only_what_it_needs(model: SoundCodec) -> None:
    media = tones(RATE * 20)
    data = bytearray(model.compress(media))
    whole = model.decompress(bytes(data)).samples
    data[200] ^= 1  # a second after the start
    part = model.open(io.BytesIO(bytes(data)), excerpt=Excerpt(15, 1)).read()
    assert torch.equal(part.samples, whole[:, 15 * RATE : 16 * RATE])


def test_an_excerpt_behind_the_end_is_refused(model: SoundCodec) -> None:
    with pytest.raises(UsageError, match="nothing is left"):
        model.open(io.BytesIO(model.compress(tones(RATE))), excerpt=Excerpt(1.0))


@pytest.mark.parametrize("kbps", [8, 9, 11])
def test_bitrate_is_kept_at_any_time(model: SoundCodec, kbps: float) -> None:
    media = tones(RATE * 4)
    data = live(model, media, Encoding(bitrate=1000 * kbps))
    assert 8 * len(data) / 4 <= 1000 * kbps
    assert 8 * len(data) / 4 > 700 * kbps or len(data) > 0.9 * len(live(model, media))
    assert model.decompress(data).samples.shape == media.samples.shape


def test_a_bitrate_that_cannot_be_is_refused(model: SoundCodec) -> None:
    with pytest.raises(UsageError, match=r"packets of 40 ms need 4\.60 kbit/s"):
        model.compress(tones(100), Encoding(bitrate=4000, packet_ms=40))


@pytest.mark.parametrize("planes", [2, 3, 4])
def test_planes_can_be_cut_off_a_file(model: SoundCodec, planes: int) -> None:
    media, sink = tones(3000, 2), io.BytesIO()
    data = model.compress(media)
    model.truncate(io.BytesIO(data), sink, planes)
    codes = model.read_codes(io.BytesIO(data))
    kept = model.read_codes(io.BytesIO(sink.getvalue()))
    assert same(kept, replace(codes, planes=codes.planes[:planes]))
    assert model.decompress(sink.getvalue()).samples.shape == media.samples.shape
    assert planes == 4 or len(sink.getvalue()) < len(data)


def test_too_few_planes_are_refused(model: SoundCodec) -> None:
    with pytest.raises(UsageError, match="can keep 2, 3, 4 planes"):
        model.truncate(io.BytesIO(model.compress(tones(100))), io.BytesIO(), 1)


def test_a_lost_packet_is_concealed_only_if_that_is_asked_for(model: SoundCodec) -> None:
    media = tones(RATE * 2)
    data = live(model, media)
    broken = bytearray(data)
    broken[len(data) // 2] ^= 1
    with pytest.raises(BitstreamError, match="checksum"):
        model.decompress(bytes(broken))
    whole, concealed = (model.decompress(x, partial=True).samples for x in (data, bytes(broken)))
    assert whole.shape == concealed.shape
    differs = (whole != concealed).any(0).nonzero()
    packet = model.block * HOP
    reach = (model.decoder.past + 2) * HOP
    assert len(differs)
    assert int(differs[-1] - differs[0]) <= packet + reach


def test_what_fills_gaps_sees_both_sides_and_is_heard(model: SoundCodec) -> None:
    noise = 0.1 * torch.randn(1, RATE * 2, generator=torch.Generator().manual_seed(0))
    media, seen = replace(tones(RATE * 2), samples=noise), list[torch.Tensor]()
    data = live(model, media)
    broken = bytearray(data)
    broken[len(data) // 2] ^= 1
    right = model.read_codes(io.BytesIO(data))

    def truth(codes: torch.Tensor) -> torch.Tensor:
        """What was there, found by what is around it."""
        seen.append(codes)
        known, lost = codes[0, :, 0, 0] >= 0, (codes[0, 0, 0] < 0).nonzero().flatten()
        assert bool(known.all())
        every = torch.stack([plane.codes[0] for plane in right.planes])  # (Q, C, frames)
        here = codes[0, 0, 0] >= 0
        (first,) = (
            i
            for i in range(every.shape[2] - len(here) + 1)
            if torch.equal(every[:, :, i : i + len(here)][:, :, here], codes[0][:, :, here])
        )
        filled = codes.clone()
        filled[0, :, :, lost] = every[:, :, first + lost]
        return filled

    try:
        model.attach(fill=truth)
        filled = model.decompress(bytes(broken), partial=True).samples
    finally:
        model.attach()
    lost = (seen[0][0, 0, 0] < 0).nonzero().flatten()
    assert len(seen) == 1
    assert 0 < int(lost[0]) <= int(lost[-1]) < seen[0].shape[3] - 1
    assert torch.equal(filled, model.decompress(data).samples)


def test_a_file_that_ends_early_gives_what_is_whole(model: SoundCodec) -> None:
    media = tones(RATE * 2)
    data = model.compress(media, Encoding(packet_ms=100))
    with pytest.raises(BitstreamError):
        model.decompress(data[: len(data) // 2])
    part = model.decompress(data[: len(data) // 2], partial=True).samples
    assert RATE // 2 < part.shape[1] < RATE * 3 // 2
    with pytest.raises(BitstreamError, match="no packet is whole"):
        model.decompress(data[:60], partial=True)


def test_another_model_refuses_the_file(model: SoundCodec) -> None:
    other = sound_codec(block=4)
    data = model.compress(tones(100))
    other.quantizer.start(torch.randn(500, 12))
    with pytest.raises(BitstreamError, match="the file needs model"):
        other.decompress(data)


def test_silence_and_full_scale_are_sounds(model: SoundCodec) -> None:
    for samples in (torch.zeros(1, 500), torch.ones(1, 500), -torch.ones(2, 500)):
        decoded = model.decompress(model.compress(Media("audio", samples, rate=RATE)))
        assert decoded.samples.isfinite().all()


@pytest.mark.parametrize("threads", [1, 2])
def test_codes_do_not_depend_on_threads(model: SoundCodec, threads: int) -> None:
    before = torch.get_num_threads()
    reference = model.encode(tones(3000).samples[None])
    torch.set_num_threads(threads)
    try:
        assert same(model.encode(tones(3000).samples[None]), reference)
    finally:
        torch.set_num_threads(before)


def test_a_file_that_does_not_say_how_long_packets_are_is_damaged(model: SoundCodec) -> None:
    sink, data = io.BytesIO(), model.compress(tones(500))
    reader = Reader(io.BytesIO(data))
    writer = Writer(sink, reader.head)
    for section in reader:
        if section.type != SectionType.PACKET:
            writer.write(section)
    writer.finish()
    with pytest.raises(BitstreamError, match="before PACKET"):
        model.decompress(sink.getvalue())
