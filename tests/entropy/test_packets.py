"""Packets: lockstep gives the bytes of one after the other, for every model of tokens on one grid; damage is named."""

from collections.abc import Iterator, Sequence
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from omegaconf import OmegaConf
from torch import Tensor

from codec.coding import Encoder, tables_from_pmfs
from codec.entropy import (
    FactorisedLatentPrior,
    Frequencies,
    GivenCodes,
    Known,
    LatticeTokenPrior,
    Layout,
    Rows,
    StaticTokenPrior,
    Step,
    VideoTokenPrior,
    decode_packets,
    encode_chunk,
    encode_packets,
    ideal_bits,
    packet_bits,
    source_of,
    walk,
)
from codec.errors import BitstreamError
from codec.models.checkpoint import build

FLUSH_BYTES = 4  # head, and the state's last byte not filled


def built(path: Path) -> Any:
    """A config's model."""
    return build(OmegaConf.to_container(OmegaConf.load(path))).eval()  # type: ignore[arg-type]


def takes_packets(model: Any) -> bool:
    """Whether it is a model of tokens whose planes share one grid, and whose frames do not see each other."""
    alone = not isinstance(model, VideoTokenPrior)
    return alone and all(model.codebook_sizes) and set(model.layout((4, 5)).grids) == {(4, 5)}


CONFIGS = [path for path in sorted(Path("configs/entropy").glob("*.yaml")) if takes_packets(built(path))]


def random_planes(model: Any, shape: tuple[int, ...], seed: int) -> list[Tensor]:
    """int64 codes of each plane, small ones more often."""
    random = torch.Generator().manual_seed(seed)
    return [(torch.rand(shape, generator=random) ** 2 * size).long() for size in model.codebook_sizes]


@cache
def frozen(path: Path) -> Any:
    """A config's model with random weights, in integers."""
    torch.manual_seed(0)
    model = built(path)
    if isinstance(model, LatticeTokenPrior):
        sizes = model.codebook_sizes
        model.start([torch.randn(size, 4) for size in sizes], [torch.rand(size) * 9 for size in sizes])
    model.freeze(random_planes(model, (8, 1, 16), seed=0))
    return model


@pytest.fixture(params=CONFIGS, ids=lambda path: path.stem)
def model(request: pytest.FixtureRequest) -> Any:
    return frozen(request.param)


@pytest.fixture(scope="module")
def over_time() -> Any:
    return frozen(Path("configs/entropy/lattice_time.yaml"))


def test_there_are_models_of_tokens() -> None:
    assert {"lattice", "lattice_time", "neighbour", "static"} <= {path.stem for path in CONFIGS}


class OneStream:
    """All planes of a chunk in one stream, written without any of the code under test."""

    def __init__(self, planes: int) -> None:
        self.encoder, self._planes = Encoder(), planes

    def record(self, step: Step, symbols: NDArray[np.int64]) -> None:
        if step.plane >= self._planes:
            return
        if isinstance(step.tables, Frequencies):
            self.encoder.push_frequencies(symbols, step.tables.values, step.tables.precision)
        else:
            self.encoder.push_rows(symbols, step.tables.index, step.tables.tables)


def alone(model: Any, planes: Sequence[Tensor], packet: int, count: int) -> bytes:
    """One packet, walked as a chunk."""
    own = [plane[packet] for plane in planes]
    stream = OneStream(count)
    walk(model, Layout((tuple(own[0].shape),) * len(own)), source_of(model, own), stream)
    return stream.encoder.finish()


@pytest.mark.parametrize("seed", range(6))
def test_lockstep_writes_what_each_packet_would_write_alone(model: Any, seed: int) -> None:
    random = np.random.default_rng(seed)
    number, grid = int(random.integers(1, 6)), (int(random.integers(1, 4)), 1, int(random.integers(1, 20)))
    planes = random_planes(model, (number, *grid), seed)
    counts = random.integers(1, 1 + len(planes), number).tolist()
    streams = encode_packets(model, planes, counts)
    assert streams == [alone(model, planes, packet, count) for packet, count in enumerate(counts)]
    decoded = decode_packets(model, grid, streams, counts)
    for level, (found, plane) in enumerate(zip(decoded, planes, strict=True)):
        held = torch.tensor(counts).view(-1, 1, 1, 1) > level
        assert torch.equal(found, plane * held)
    bits = packet_bits(model, planes)
    assert bits.shape == (number, len(planes))
    assert bits.dtype == torch.float64
    for packet, (stream, count) in enumerate(zip(streams, counts, strict=True)):
        assert -1 <= len(stream) - float(bits[packet, :count].sum()) / 8 <= FLUSH_BYTES
        assert float(bits[packet].sum()) == pytest.approx(ideal_bits(model, [plane[packet] for plane in planes]))


@pytest.mark.parametrize("grid", [(7,), (3, 5), (2, 3, 4), (2, 1, 0)], ids=str)
def test_any_grid_will_do(model: Any, grid: tuple[int, ...]) -> None:
    planes = random_planes(model, (3, *grid), seed=9)
    streams = encode_packets(model, planes)
    assert streams == [one for i in range(3) for one in encode_packets(model, [plane[i : i + 1] for plane in planes])]
    decoded = decode_packets(model, grid, streams, [len(planes)] * 3)
    assert all(torch.equal(one, two) for one, two in zip(decoded, planes, strict=True))


def test_no_packets_are_no_streams(over_time: Any) -> None:
    planes = random_planes(over_time, (0, 1, 1, 16), seed=0)
    assert encode_packets(over_time, planes) == []
    assert packet_bits(over_time, planes).shape == (0, 4)
    assert [tuple(plane.shape) for plane in decode_packets(over_time, (1, 1, 16), [], [])] == [(0, 1, 1, 16)] * 4


def test_a_packet_of_one_plane_is_a_chunk() -> None:
    model = StaticTokenPrior([16])
    planes = random_planes(model, (4, 2, 1, 16), seed=3)
    assert encode_packets(model, planes) == [stream for codes in planes[0] for stream in encode_chunk(model, [codes])]


class Watched(StaticTokenPrior):
    """Remembers the planes whose tables it was asked for."""

    asked: tuple[int, ...] = ()

    def steps(self, layout: Layout, known: Known) -> Iterator[Step]:
        """As ever."""
        for plane, size in enumerate(layout.sizes):
            self.asked += (plane,)
            yield Step(plane, np.arange(size), Rows(np.zeros(size, np.int64), self.tables[plane]))


def test_planes_that_no_packet_holds_are_not_computed() -> None:
    model = Watched([8, 4, 2, 6])
    planes = random_planes(model, (3, 1, 1, 5), seed=1)
    streams = encode_packets(model, planes, [1, 2, 1])
    assert model.asked == (0, 1)
    decode_packets(model, (1, 1, 5), streams, [1, 2, 1])
    assert model.asked == (0, 1, 0, 1)
    model.asked = ()
    known = walk(model, model.layout((5,)), GivenCodes([plane[0].flatten().numpy() for plane in planes]), planes=3)
    assert model.asked == (0, 1, 2)
    assert np.array_equal(known.codes[2], planes[2][0].flatten().numpy())
    assert not known.codes[3].any()


def test_damage_is_noticed_or_harmless_and_never_crashes(model: Any) -> None:
    random = np.random.default_rng(0)
    planes = random_planes(model, (3, 1, 1, 9), seed=2)
    counts = [len(planes)] * 3
    whole = encode_packets(model, planes, counts)
    sections = []
    for _ in range(40):
        streams = [bytearray(stream) for stream in whole]
        victim = int(random.integers(3))
        streams[victim][random.integers(len(streams[victim]))] ^= 1 << int(random.integers(8))
        try:
            decoded = decode_packets(model, (1, 1, 9), [bytes(stream) for stream in streams], counts)
        except BitstreamError as error:
            sections.append((error.section, f"packet {victim}"))
            continue
        others = [packet for packet in range(3) if packet != victim]
        assert all(torch.equal(one[others], two[others]) for one, two in zip(decoded, planes, strict=True))
    assert len(sections) >= 30
    assert all(found == expected for found, expected in sections)


def test_cut_empty_and_exchanged_streams_are_named(over_time: Any) -> None:
    planes = random_planes(over_time, (3, 1, 1, 16), seed=4)
    streams, counts = encode_packets(over_time, planes, [4, 2, 3]), [4, 2, 3]
    for wrong in (b"", streams[1][:-4], streams[1] + b"\0\0\0\0", streams[2]):
        with pytest.raises(BitstreamError, match="packet 1"):
            decode_packets(over_time, (1, 1, 16), [streams[0], wrong, streams[2]], counts)
    with pytest.raises(BitstreamError, match="packet 0"):
        decode_packets(over_time, (1, 1, 16), streams, [3, 2, 3])


class Wider(StaticTokenPrior):
    """Claims four codes, but its tables go up to seven, as a damaged model's might."""

    def steps(self, layout: Layout, known: Known) -> Iterator[Step]:
        """All at once."""
        tables = tables_from_pmfs([np.full(8, 1 / 8)], [0])
        yield Step(0, np.arange(layout.sizes[0]), Rows(np.zeros(layout.sizes[0], np.int64), tables))


def test_decoded_codes_outside_the_alphabet_are_damage() -> None:
    streams = encode_packets(Wider([8]), [torch.tensor([[0, 3], [2, 7]])])
    with pytest.raises(BitstreamError, match=r"packet 1: codes of plane 0 leave \[0, 4\)"):
        decode_packets(Wider([4]), (2,), streams, [1, 1])


def test_what_is_no_set_of_packets_is_refused(over_time: Any) -> None:
    planes = random_planes(over_time, (2, 1, 1, 4), seed=5)
    for counts in ([0, 1], [1, 5], [1], [1, 1, 1]):
        with pytest.raises(ValueError, match=r"2 packets need as many counts of planes in 1\.\.4"):
            encode_packets(over_time, planes, counts)
    with pytest.raises(ValueError, match="integers of one shape"):
        encode_packets(over_time, [*planes[:3], planes[3][:1]])
    with pytest.raises(ValueError, match="integers of one shape"):
        packet_bits(over_time, [plane.float() for plane in planes])
    with pytest.raises(ValueError, match="4 planes, got 3"):
        encode_packets(over_time, planes[:3])
    with pytest.raises(ValueError, match="must lie in"):
        encode_packets(over_time, [planes[0] + 16, *planes[1:]])
    with pytest.raises(ValueError, match="model of tokens"):
        encode_packets(FactorisedLatentPrior(3), [torch.zeros(2, 3, 1, 4, dtype=torch.int64)])


def test_frames_that_see_each_other_are_no_packets() -> None:
    model = VideoTokenPrior([[3]], embedding_dim=2, width=4, key_dim=2)
    encode_packets(model, [torch.zeros(1, 2, 3, 3, dtype=torch.int64)])
    with pytest.raises(ValueError, match="see each other"):
        encode_packets(model, [torch.zeros(2, 2, 3, 3, dtype=torch.int64)])
