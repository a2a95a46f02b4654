"""Every entropy model config obeys the same laws; the folder is the list. Each is trained here, for seconds, on data with structure."""

import copy
import os
import subprocess
import sys
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hydra.utils import instantiate
from omegaconf import OmegaConf
from torch import Tensor

from codec.entropy import (
    GivenCodes,
    Known,
    Layout,
    RoundedLatent,
    Sampler,
    StaticTokenPrior,
    Step,
    TwoSliceHyperprior,
    decode_chunk,
    encode_chunk,
    ideal_bits,
    walk,
)
from codec.entropy.base import Rows
from codec.errors import BitstreamError

CONFIGS = sorted(Path("configs/entropy").glob("*.yaml"))
BATCH, STEPS = 16, 60


def planes_for(model: Any, rows: int, columns: int, seed: int = 0, batch: int = BATCH) -> list[Tensor]:
    """Structured planes `(B, *grid)`: smooth tokens, latents with local scales, residual codes that follow each other."""
    random = torch.Generator().manual_seed(seed)
    if isinstance(model, TwoSliceHyperprior):
        z = 3 * torch.randn(batch, model.hyper_channels, rows, columns, generator=random)
        spread = torch.exp2(z[:, :1].round() / 2).repeat_interleave(2, 2).repeat_interleave(2, 3)
        noise = [torch.randn(batch, model.channels, 2 * rows, 2 * columns, generator=random) for _ in range(2)]
        y1 = spread * noise[0]
        return [z, y1, 0.8 * y1 + 0.6 * spread * noise[1]]
    sizes = model.codebook_sizes
    if len(sizes) == 4:  # levels over time
        first = torch.randint(sizes[0], (batch, rows * columns), generator=random)
        jumps = torch.randint(3, (3, *first.shape), generator=random)
        return [first, *((first + 3 * i + jumps[i]) % sizes[0] for i in range(3))]
    drift = torch.randint(2, (len(sizes), batch, rows, columns), generator=random)
    return [(drift[q].cumsum(1) + drift[q].cumsum(2)) % size for q, size in enumerate(sizes)]


@cache
def trained(path: Path) -> Any:
    """A config's model after a few steps, converted to integers, in eval."""
    torch.manual_seed(0)
    model = instantiate(OmegaConf.load(path))
    if isinstance(model, StaticTokenPrior):
        planes = planes_for(model, 8, 8)
        model.fit([torch.bincount(p.flatten(), minlength=k) for p, k in zip(planes, model.codebook_sizes, strict=True)])
        return model.eval()
    optimizer = torch.optim.Adam(model.parameters(), 3e-2)
    losses = []
    for step in range(STEPS):
        loss = model.bits(planes_for(model, 6, 6, seed=step))
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    assert sum(losses[-5:]) < 0.9 * sum(losses[:5]), "training must lower the bits"
    model.eval()
    model.convert(planes_for(model, 6, 6, seed=1000))
    return model


@pytest.fixture(params=CONFIGS, ids=lambda path: path.stem)
def model(request: pytest.FixtureRequest) -> Any:
    return trained(request.param)


def codes_of(model: Any, rows: int, columns: int, seed: int = 77) -> list[Tensor]:
    """Integer planes of one chunk; a hyperprior's latents quantised by its own means."""
    planes = [plane[0] for plane in planes_for(model, rows, columns, seed, batch=1)]
    if isinstance(model, TwoSliceHyperprior):
        layout = Layout(tuple(tuple(plane.shape) for plane in planes))
        known = walk(model, layout, RoundedLatent([plane.flatten().double().numpy() for plane in planes]))
        return [torch.from_numpy(c).reshape(grid) for c, grid in zip(known.codes, layout.grids, strict=True)]
    return planes


@pytest.mark.parametrize("grid", [(1, 1), (5, 7), (8, 8), (0, 4), (1, 30)])
def test_decode_of_encode_is_exact_and_costs_what_was_promised(model: Any, grid: tuple[int, int]) -> None:
    planes = codes_of(model, *grid)
    streams = encode_chunk(model, planes)
    layout = Layout(tuple(tuple(plane.shape) for plane in planes))
    assert all(torch.equal(one, two) for one, two in zip(decode_chunk(model, layout, streams), planes, strict=True))
    ideal = ideal_bits(model, planes) / 8
    assert ideal - 1 <= sum(map(len, streams)) <= 1.01 * ideal + 40


def test_training_taught_it_something(model: Any) -> None:
    """Fewer bits than uniform codes, or than tables of one scale for all."""
    samples = [codes_of(model, 6, 6, seed) for seed in range(200, 208)]
    spent = sum(ideal_bits(model, planes) for planes in samples)
    if isinstance(model, TwoSliceHyperprior):
        latents = np.concatenate([plane.flatten().numpy() for planes in samples for plane in planes[1:]])
        plain = len(latents) * np.log2(latents.std() * np.sqrt(2 * np.pi * np.e))
        side = 4.2 * sum(planes[0].numel() for planes in samples)
        assert spent < 1.02 * plain + side
    else:
        sizes = [plane.numel() for plane in samples[0]]
        uniform = 8 * sum(size * np.log2(k) for size, k in zip(sizes, model.codebook_sizes, strict=True))
        assert spent < (1.02 if isinstance(model, StaticTokenPrior) else 0.9) * uniform


def tables_of(step: Step) -> list[np.ndarray]:
    return [step.tables.index] if isinstance(step.tables, Rows) else [step.tables.values]


def test_no_step_depends_on_what_is_not_known_yet(model: Any) -> None:
    planes = codes_of(model, 6, 6)
    flat = [plane.flatten().numpy() for plane in planes]
    layout = Layout(tuple(tuple(plane.shape) for plane in planes))
    plain = GivenCodesRecorder(flat)
    walk(model, layout, plain)
    known, noise = Known.nothing(layout), np.random.default_rng(5)
    largest = [max(1, int(plane.max()) + 1) for plane in planes]
    done = [np.zeros(len(plane), bool) for plane in flat]
    for step, expected in zip(model.steps(layout, known), plain.steps, strict=True):
        assert all(np.array_equal(a, b) for a, b in zip(tables_of(step), tables_of(expected), strict=True))
        done[step.plane][step.where] = True
        known.codes[step.plane][step.where] = flat[step.plane][step.where]
        if step.means is not None:
            known.latents[step.plane][step.where] = flat[step.plane][step.where] * 256 + step.means
        for plane, seen in enumerate(done):
            known.codes[plane][~seen] = noise.integers(largest[plane], size=(~seen).sum())


class GivenCodesRecorder(GivenCodes):
    """GivenCodes that remembers the steps."""

    def __init__(self, planes: list[np.ndarray]) -> None:
        super().__init__(planes)
        self.steps: list[Step] = []

    def codes(self, step: Step) -> np.ndarray:
        self.steps.append(step)
        return super().codes(step)


def test_state_dict_round_trip_gives_the_same_bytes(model: Any) -> None:
    planes = codes_of(model, 6, 6)
    other = copy.deepcopy(model)
    with torch.no_grad():
        for tensor in (*other.parameters(), *other.buffers()):
            if tensor.is_floating_point():
                tensor.zero_()
    other.load_state_dict(model.state_dict())
    assert encode_chunk(other, planes) == encode_chunk(model, planes)


def test_sampling_draws_codes_that_code(model: Any) -> None:
    layout = Layout(tuple(tuple(plane.shape) for plane in codes_of(model, 6, 6)))
    known = walk(model, layout, Sampler(3))
    again = walk(model, layout, Sampler(3))
    assert all(np.array_equal(one, two) for one, two in zip(known.codes, again.codes, strict=True))
    planes = [torch.from_numpy(codes).reshape(grid) for codes, grid in zip(known.codes, layout.grids, strict=True)]
    assert all(
        torch.equal(one, two)
        for one, two in zip(decode_chunk(model, layout, encode_chunk(model, planes)), planes, strict=True)
    )


def test_integers_cost_next_to_nothing(model: Any) -> None:
    """The integer tables against the float model that they came from."""
    if isinstance(model, StaticTokenPrior | TwoSliceHyperprior):
        return  # nothing float to compare with; a hyperprior's training bits are under noise
    planes = codes_of(model, 24, 24)
    with torch.no_grad():
        floats = float(model.bits([plane[None] for plane in planes]))
    assert ideal_bits(model, planes) <= 1.005 * floats + 1


def test_a_stream_cut_or_changed_never_crashes(model: Any) -> None:
    planes = codes_of(model, 5, 5)
    layout = Layout(tuple(tuple(plane.shape) for plane in planes))
    random = np.random.default_rng(0)
    for _ in range(40):
        streams = [bytearray(stream) for stream in encode_chunk(model, planes)]
        victim = streams[random.integers(len(streams))]
        victim[random.integers(len(victim))] ^= 1 << int(random.integers(8))
        try:
            decode_chunk(model, layout, [bytes(stream) for stream in streams])
        except BitstreamError:
            continue


def test_dropped_levels_leave_the_first_ones() -> None:
    model = trained(Path("configs/entropy/residual_time.yaml"))
    planes = codes_of(model, 5, 5)
    layout = Layout(tuple(tuple(plane.shape) for plane in planes))
    streams = encode_chunk(model, planes)
    decoded = decode_chunk(model, layout, streams[:2])
    assert torch.equal(decoded[1], planes[1])
    assert not decoded[2].any()


def test_latents_come_back_within_half_a_step() -> None:
    """Quantising against predicted means: y_hat = code + mean lies within one half of y, at both ends."""
    model = trained(Path("configs/entropy/two_slice_hyperprior.yaml"))
    planes = [plane[0] for plane in planes_for(model, 5, 6, seed=8, batch=1)]
    layout = Layout(tuple(tuple(plane.shape) for plane in planes))
    source = RoundedLatent([plane.flatten().double().numpy() for plane in planes])
    known = walk(model, layout, source)
    streams = source.finish()
    decoded = decode_chunk(model, layout, streams)
    for s in (1, 2):
        error = known.latents[s] / 256 - planes[s].flatten().double().numpy()
        assert np.abs(error).max() <= 0.5 + 1e-6
        assert np.array_equal(decoded[s].flatten().numpy(), known.codes[s])


FRESH = """
import sys, torch
from pathlib import Path
torch.set_num_threads(int(sys.argv[3]))
from hydra.utils import instantiate
from omegaconf import OmegaConf
from safetensors.torch import load_file
from codec.entropy import Layout, decode_chunk
for stem in sys.argv[4:]:
    model = instantiate(OmegaConf.load(Path(sys.argv[2]) / f"{stem}.yaml"))
    folder = Path(sys.argv[1])
    model.load_state_dict(load_file(folder / f"{stem}.safetensors"))
    saved = load_file(folder / f"{stem}.planes")
    planes = [saved[f"plane_{i}"] for i in range(len(saved) // 2)]
    streams = [saved[f"stream_{i}"].numpy().tobytes() for i in range(len(planes))]
    decoded = decode_chunk(model.eval(), Layout(tuple(tuple(p.shape) for p in planes)), streams)
    assert all(torch.equal(a, b) for a, b in zip(decoded, planes)), stem
print("same")
"""


@pytest.fixture(scope="module")
def saved(tmp_path_factory: pytest.TempPathFactory) -> Path:
    from safetensors.torch import save_file

    folder = tmp_path_factory.mktemp("saved")
    for path in CONFIGS:
        model = trained(path)
        planes = codes_of(model, 12, 12)
        streams = [torch.from_numpy(np.frombuffer(stream, np.uint8).copy()) for stream in encode_chunk(model, planes)]
        save_file(
            {name: value.contiguous() for name, value in model.state_dict().items()},
            folder / f"{path.stem}.safetensors",
        )
        tensors = {f"plane_{i}": plane.contiguous() for i, plane in enumerate(planes)}
        save_file(tensors | {f"stream_{i}": stream for i, stream in enumerate(streams)}, folder / f"{path.stem}.planes")
    return folder


@pytest.mark.parametrize(
    ("variables", "threads"),
    [
        ({"ATEN_CPU_CAPABILITY": "default", "ONEDNN_MAX_CPU_ISA": "SSE41", "MKL_ENABLE_INSTRUCTIONS": "SSE4_2"}, 1),
        ({"ATEN_CPU_CAPABILITY": "avx2", "ONEDNN_MAX_CPU_ISA": "AVX2", "MKL_ENABLE_INSTRUCTIONS": "AVX2"}, 2),
    ],
    ids=["sse", "avx2"],
)
def test_another_machine_decodes_the_same(saved: Path, variables: dict[str, str], threads: int) -> None:
    stems = [path.stem for path in CONFIGS]
    done = subprocess.run(
        [sys.executable, "-c", FRESH, str(saved), "configs/entropy", str(threads), *stems],
        capture_output=True, text=True, env=os.environ | variables, check=False,
    )  # fmt: skip
    assert done.stdout.strip() == "same", done.stderr
