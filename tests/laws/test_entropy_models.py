"""Every entropy model config obeys the same laws; the folder is the list. Each is trained here for a moment."""

import copy
import os
import subprocess
import sys
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from omegaconf import OmegaConf
from safetensors.torch import save_file

from codec.entropy import Known, Rows, Sampler, Step, decode_chunk, encode_chunk, ideal_bits, source_of, walk
from codec.errors import BitstreamError
from codec.models.checkpoint import build
from tests.entropy.samples import as_planes, codes_of, structured_planes, train

CONFIGS = sorted(Path("configs/entropy").glob("*.yaml"))
GRIDS = [(1, 1), (5, 7), (16, 16), (0, 4), (1, 30)]
COSTS: dict[str, float] = {}


@pytest.fixture(scope="module", autouse=True)
def _one_thread() -> Iterator[None]:
    """These networks are too small to share out."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


def built(path: Path) -> Any:
    """A config's model as a checkpoint builds it: Hydra would turn dataclasses in a list into configs."""
    return build(OmegaConf.to_container(OmegaConf.load(path)))  # type: ignore[arg-type]


@cache
def frozen(path: Path) -> Any:
    """A config's model, trained for a few steps where it has parameters, frozen, in eval."""
    torch.manual_seed(0)
    model = built(path)
    if list(model.parameters()):
        first, last = train(model, lambda step: structured_planes(model, (8, 8), batch=8, seed=step), steps=25)
        assert last < 0.97 * first
    model.eval()
    COSTS[path.stem] = model.freeze(structured_planes(model, (12, 12), batch=8, seed=1000))
    return model


@pytest.fixture(params=CONFIGS, ids=lambda path: path.stem)
def model(request: pytest.FixtureRequest) -> Any:
    return frozen(request.param)


@pytest.mark.parametrize("grid", GRIDS, ids=str)
def test_decode_of_encode_is_exact_and_costs_what_was_promised(model: Any, grid: tuple[int, int]) -> None:
    planes = codes_of(model, grid)
    streams = encode_chunk(model, planes)
    decoded = decode_chunk(model, model.layout(grid), streams)
    assert all(torch.equal(one, two) for one, two in zip(decoded, planes, strict=True))
    promised = float(model.bits([plane[None] for plane in planes])) / 8
    assert promised == pytest.approx(ideal_bits(model, planes) / 8)
    assert promised - 1 <= sum(map(len, streams)) <= 1.01 * promised + 40


def test_freezing_costs_next_to_nothing(model: Any, request: pytest.FixtureRequest) -> None:
    """The integer part against the float part, in percent of the bits."""
    assert abs(COSTS[request.node.callspec.params["model"].stem]) < 0.5


def test_bits_in_training_are_differentiable(model: Any) -> None:
    other = copy.deepcopy(model).train()
    bits = other.bits(structured_planes(other, (6, 6), batch=2, seed=5))
    assert bits.ndim == 0
    if list(other.parameters()):
        bits.backward()
        used = [p.grad for name, p in other.named_parameters() if "analysis" not in name]
        assert all(gradient is not None and torch.isfinite(gradient).all() for gradient in used)


def test_no_step_depends_on_what_is_not_known_yet(model: Any) -> None:
    """Fill all that is unknown, positions and digits, with noise before each step: the tables must not change."""
    planes, layout = codes_of(model, (6, 7)), model.layout((6, 7))
    flat, random = [plane.flatten().numpy() for plane in planes], np.random.default_rng(5)
    expected = _recorded(model, planes)
    known, done = Known.nothing(layout), list[Step]()
    _fill(model, known, flat, done, random)
    for step, other in zip(model.steps(layout, known), expected, strict=True):
        assert (step.plane, step.place, step.radix) == (other.plane, other.place, other.radix)
        for name in ("where", "means"):
            assert np.array_equal(getattr(step, name), getattr(other, name))
        assert np.array_equal(_integers(step), _integers(other))
        done.append(step)
        _fill(model, known, flat, done, random)


def _integers(step: Step) -> np.ndarray:
    return step.tables.index if isinstance(step.tables, Rows) else step.tables.values


def _recorded(model: Any, planes: list[torch.Tensor]) -> list[Step]:
    class Steps:
        def __init__(self) -> None:
            self.seen: list[Step] = []

        def record(self, step: Step, symbols: np.ndarray) -> None:
            self.seen.append(step)

    recorder = Steps()
    walk(model, model.layout((6, 7)), source_of(model, planes), recorder)
    return recorder.seen


def _fill(model: Any, known: Known, flat: list[np.ndarray], done: list[Step], random: np.random.Generator) -> None:
    """Noise everywhere, then the truth where a step has been."""
    for plane, size in enumerate(model.codebook_sizes):
        count = len(known.codes[plane])
        known.codes[plane][:] = random.integers(size, size=count) if size else random.integers(-99, 99, size=count)
        known.latents[plane][:] = random.integers(-9999, 9999, size=count)
    for step in done:
        if step.certain is not None:
            known.codes[step.plane][step.certain[0]], known.latents[step.plane][step.certain[0]] = 0, step.certain[1]
        codes, truth, where = known.codes[step.plane], flat[step.plane], step.where
        if step.radix is None:
            codes[where] = truth[where]
        else:
            wanted, there = (values[where] // step.place % step.radix for values in (truth, codes))
            codes[where] += (wanted - there) * step.place
        if step.means is not None:
            known.latents[step.plane][where] = truth[where] * 256 + step.means


def test_state_dict_round_trip_gives_the_same_bytes(model: Any, request: pytest.FixtureRequest) -> None:
    planes = codes_of(model, (6, 6))
    other = built(request.node.callspec.params["model"]).eval()
    encode_chunk(other, planes)  # whatever is cached must give way to what is loaded
    other.load_state_dict(model.state_dict())
    assert encode_chunk(other, planes) == encode_chunk(model, planes)


def test_sampled_codes_can_be_coded(model: Any) -> None:
    layout = model.layout((6, 6))
    drawn, again = (walk(model, layout, Sampler(3)).codes for _ in range(2))
    assert all(np.array_equal(one, two) for one, two in zip(drawn, again, strict=True))
    planes = as_planes(drawn, layout)
    decoded = decode_chunk(model, layout, encode_chunk(model, planes))
    assert all(torch.equal(one, two) for one, two in zip(decoded, planes, strict=True))


def test_fewer_streams_give_the_first_planes(model: Any) -> None:
    planes, layout = codes_of(model, (5, 6)), model.layout((5, 6))
    streams = encode_chunk(model, planes)
    for count in range(len(streams)):
        decoded = decode_chunk(model, layout, streams[:count])
        assert all(torch.equal(one, two) for one, two in zip(decoded[:count], planes[:count], strict=True))
        assert not any(plane.any() for plane in decoded[count:])
    with pytest.raises(BitstreamError, match="streams"):
        decode_chunk(model, layout, [*streams, b"\0"])


def test_a_damaged_stream_never_crashes(model: Any) -> None:
    planes, layout, random = codes_of(model, (5, 5)), model.layout((5, 5)), np.random.default_rng(0)
    whole = encode_chunk(model, planes)
    for _ in range(25):
        streams = [bytearray(stream) for stream in whole]
        victim = streams[random.integers(len(streams))]
        victim[random.integers(len(victim))] ^= 1 << int(random.integers(8))
        try:
            decode_chunk(model, layout, [bytes(stream) for stream in streams])
        except BitstreamError:
            continue


def test_codes_outside_the_alphabet_are_refused(model: Any) -> None:
    planes = codes_of(model, (3, 3))
    if all(model.codebook_sizes):
        wrong = [planes[0] + model.codebook_sizes[0], *planes[1:]]
        with pytest.raises(ValueError, match="must lie in"):
            encode_chunk(model, wrong)
    with pytest.raises(ValueError, match="planes"):
        encode_chunk(model, planes[:-1])


@pytest.fixture(scope="module")
def saved(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Every config's model, a chunk and its streams, as files."""
    folder = tmp_path_factory.mktemp("saved")
    for path in CONFIGS:
        model = frozen(path)
        planes = codes_of(model, (12, 12))
        tensors = {f"plane_{i}": plane.contiguous() for i, plane in enumerate(planes)}
        for i, stream in enumerate(encode_chunk(model, planes)):
            tensors[f"stream_{i}"] = torch.from_numpy(np.frombuffer(stream, np.uint8).copy())
        save_file(model.state_dict(), folder / f"{path.stem}.model")
        save_file(tensors, folder / f"{path.stem}.chunk")
    return folder


@pytest.mark.parametrize(
    ("aten", "onednn", "mkl", "threads"),
    [("default", "SSE41", "SSE4_2", 1), ("avx2", "AVX2", "AVX2", 2), ("avx512", "AVX512_CORE", "AVX512", 1)],
)
def test_other_instruction_sets_decode_the_same(saved: Path, aten: str, onednn: str, mkl: str, threads: int) -> None:
    """A fresh process under other vector units and thread counts reads, and writes, the same streams."""
    choices = {"ATEN_CPU_CAPABILITY": aten, "ONEDNN_MAX_CPU_ISA": onednn, "MKL_ENABLE_INSTRUCTIONS": mkl}
    done = subprocess.run(
        [sys.executable, "-m", "tests.entropy.other_machine", str(saved), str(threads), *map(str, CONFIGS)],
        capture_output=True,
        text=True,
        env=os.environ | choices,
        check=False,
    )
    assert done.stdout.split() == [path.stem for path in CONFIGS], done.stderr
