"""The comparison of quantizers: rows cost the bits they say, bottlenecks keep the quantizers' promises, both media run."""

import io
import tarfile
from argparse import Namespace
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile
import torch
from benchmark_quantizers import ROOT, coded_bits, run_one
from omegaconf import OmegaConf
from PIL import Image
from quantizer_bottlenecks import Coarsen, Grids, Positions, build_bottleneck, change
from quantizer_speech import FRAME, FrameDecoder, FrameEncoder, principal_frames
from torch import Tensor

from codec.evaluation import CodebookUsage
from codec.quantizers import DynamicGranularity
from tests.conftest import synthetic_picture

GRID_ROWS = sorted(path.stem for path in (ROOT / "configs" / "model" / "grid_quantizer").glob("*.yaml"))


@dataclass
class Shape:
    """What a bottleneck asks of a medium."""

    axes: int
    stride: int
    latent_dim: int = 32

    def guide(self, samples: Tensor) -> Tensor:
        """The first channel."""
        return samples[:, 0, ..., None]


PICTURES, SPEECH = Shape(2, 8), Shape(1, FRAME)


def rows_of(media: str) -> dict[str, Any]:
    rows = OmegaConf.to_container(OmegaConf.load(ROOT / "configs" / "comparison" / f"{media}.yaml"))
    assert isinstance(rows, dict)
    return rows


def nominal_bits(bottleneck: Any, grid: tuple[int, ...]) -> float:
    """Of a position, with all planes whole."""
    if isinstance(bottleneck, Positions):
        return float(np.log2(bottleneck.alphabets).sum())
    if bottleneck.guide is not None:
        grid = tuple(8 * side for side in grid)
    planes = zip(bottleneck.quantizer.layout(grid), bottleneck.alphabets, strict=True)
    return sum(np.prod(shape) * np.log2(size) for shape, size in planes) / np.prod(grid)


def built(row: str, media: str = "images", bits: int = 14) -> Any:
    shape = PICTURES if media == "images" else SPEECH
    torch.manual_seed(0)
    return build_bottleneck(row, rows_of(media)[row]["bits"][bits], shape)  # type: ignore[arg-type]


SPEECH_ROWS = [(row, bits) for row, spec in rows_of("speech").items() for bits in spec["bits"]]


@pytest.mark.parametrize(("row", "bits"), SPEECH_ROWS)
def test_speech_rows_cost_what_they_say(row: str, bits: int) -> None:
    assert nominal_bits(built(row, "speech", bits), (64,)) == pytest.approx(bits, abs=0.2)


@pytest.mark.parametrize("row", ["multiscale", "cross_scale", "two_level"])
def test_grid_rows_cost_14_bits(row: str) -> None:
    assert nominal_bits(built(row), (16, 16)) == pytest.approx(14, abs=0.02)


@pytest.fixture(params=GRID_ROWS)
def started(request: pytest.FixtureRequest) -> tuple[Grids, Tensor, Tensor]:
    """A grid row of small tables, started, with two batches of samples and their latents."""
    bottleneck = built(request.param)
    samples = torch.rand(2, 1, 256, 256)
    latents = torch.nn.functional.avg_pool2d(samples, 8).movedim(1, -1) * torch.randn(32) + 0.5 * torch.randn(
        2, 32, 32, 32
    )
    bottleneck.start(torch.cat([latents, latents + 0.1]), [samples, samples])
    return bottleneck.eval(), latents, samples


def test_grid_rows_decode_what_forward_gives(started: tuple[Grids, Tensor, Tensor]) -> None:
    bottleneck, latents, samples = started
    with torch.no_grad():
        planes = bottleneck.encode(latents, samples)
        vectors, _ = bottleneck(latents, samples)
        torch.testing.assert_close(bottleneck.decode(planes), vectors)
        assert vectors.shape == latents.shape
        torch.testing.assert_close(vectors, bottleneck.quantizer.decode(planes)[0])  # coarser vectors come in from zero


def test_all_of_a_grid_row_learns(started: tuple[Grids, Tensor, Tensor]) -> None:
    bottleneck, latents, samples = started
    latents = latents.requires_grad_()
    bottleneck.train()
    for _ in range(4):  # whatever a dropout leaves out, comes in one of them
        vectors, losses = bottleneck(latents, samples)
        (vectors.square().mean() + sum(losses.values())).backward()
    assert latents.grad is not None
    for name, parameter in bottleneck.named_parameters():
        assert parameter.grad is not None, name


def test_used_codes_are_those_that_decode(started: tuple[Grids, Tensor, Tensor]) -> None:
    """Changing any other code changes nothing."""
    bottleneck, latents, samples = started
    planes = bottleneck.encode(latents, samples)
    used = bottleneck.used(planes)
    if not isinstance(bottleneck.quantizer, DynamicGranularity):
        assert all(torch.equal(codes, plane.flatten()) for codes, plane in zip(used, planes, strict=True))
        return
    marked = [torch.arange(plane.numel()).view_as(plane) for plane in planes]
    positions = bottleneck.used([*planes[: bottleneck.maps], *marked[bottleneck.maps :]])
    changed = [plane.clone() for plane in planes]
    for plane, kept in zip(changed[bottleneck.maps :], positions[bottleneck.maps :], strict=True):
        rest = torch.ones(plane.numel(), dtype=torch.bool)
        rest[kept] = False
        plane.view(-1)[rest] = 1
    with torch.no_grad():
        assert torch.equal(bottleneck.decode(changed), bottleneck.decode(planes))
    cells = sum(len(codes) << 2 * level for level, codes in enumerate(reversed(used[bottleneck.maps :: 2])))
    assert cells == latents[..., 0].numel()  # every position once
    assert sum(map(len, used)) < sum(plane.numel() for plane in planes)


@pytest.mark.parametrize("axes", [1, 2])
def test_coarsening_begins_as_the_mean(axes: int) -> None:
    latents = torch.randn(2, *[6, 8][:axes], 3)
    expected = latents.unflatten(1, (-1, 2)).mean(2)
    if axes == 2:
        expected = expected.unflatten(2, (-1, 2)).mean(3)
    torch.testing.assert_close(Coarsen(3, 2, axes)(latents), expected)


def test_a_quantizer_of_another_size_is_refused() -> None:
    with pytest.raises(ValueError, match="at 32 dimensions"):
        build_bottleneck("vq_ema", {"codebook.dim": 8}, PICTURES)  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="on 2 axes"):
        build_bottleneck("cross_scale", {}, PICTURES)  # type: ignore[arg-type]


def test_changes_of_a_config() -> None:
    config = {"parts": [{"size": 1}, {"size": 1}, {"size": 1}], "levels": [1, 2]}
    for path, value in {"parts": 2, "parts.*.size": 5, "parts.1.size": 6, "levels": [3], "new": 7}.items():
        change(config, path.split("."), value)
    assert config == {"parts": [{"size": 5}, {"size": 6}], "levels": [3], "new": 7}


def test_frames_start_at_their_principal_components() -> None:
    basis_of_frames = torch.linalg.qr(torch.randn(FRAME, FRAME))[0][:8]
    waveforms = 0.05 * (torch.randn(40, 6, 8) @ basis_of_frames).reshape(40, 1, -1)
    basis = principal_frames([waveforms[:20], waveforms[20:]], 8)
    encoder, decoder = FrameEncoder(8, width=16, depth=1), FrameDecoder(8, width=16, depth=1)
    encoder.start_from(basis)
    decoder.start_from(basis)
    with torch.no_grad():
        latents = encoder(waveforms)
        assert latents.shape == (40, 8, 6)
        assert float(latents.square().mean()) == pytest.approx(1, rel=1e-3)
        torch.testing.assert_close(decoder(latents), waveforms, atol=1e-5, rtol=0)


def test_coded_bits_are_those_of_the_other_files() -> None:
    seen, new = CodebookUsage(4), CodebookUsage(4)
    seen.update(torch.tensor([0, 0, 0, 1, 1, 2]))
    new.update(torch.tensor([0, 3]))
    assert coded_bits(seen, new) == pytest.approx(-(np.log2(3.5 / 8) + np.log2(0.5 / 8)) / 2)


def tar_of(path: Path, members: dict[str, bytes]) -> None:
    with tarfile.open(path, "w") as tar:
        for name, data in members.items():
            header = tarfile.TarInfo(name)
            header.size = len(data)
            tar.addfile(header, io.BytesIO(data))


def picture_file(seed: int) -> bytes:
    file = io.BytesIO()
    Image.fromarray(synthetic_picture(180, 200, seed).permute(1, 2, 0).numpy()).save(file, "PNG")
    return file.getvalue()


def speech_file(seed: int) -> bytes:
    file, random = io.BytesIO(), np.random.default_rng(seed)
    soundfile.write(file, 0.05 * random.standard_normal(30_000).cumsum() % 1 - 0.5, 16_000, format="FLAC")
    return file.getvalue()


@pytest.mark.parametrize(
    ("media", "row", "changes"),
    [
        ("images", "two_level", {"bottom.codebook.codebook_size": 16, "top.codebook.codebook_size": 256}),
        ("speech", "residual", {"stages": 2, "stages.*.codebook.codebook_size": 8}),
    ],
)
def test_a_run(tmp_path: Path, media: str, row: str, changes: dict[str, Any]) -> None:
    for part in ("images-train", "images-val"):
        tar_of(tmp_path / f"{part}.tar", {f"{i}.png": picture_file(i) for i in range(2)})
    for part in ("speech-train", "audio-val"):
        tar_of(tmp_path / f"{part}.tar", {f"speech/{i}.flac": speech_file(i) for i in range(2)})
    config = tmp_path / "rows.yaml"
    OmegaConf.save({row: {"weights": {"commitment": 0.25}, "bits": {6: changes}}}, config)
    arguments = Namespace(config=config, media=media, data=tmp_path, cache=tmp_path / "cache", steps=2)
    run = run_one(arguments, row, 6, 0)
    assert run.nominal_bits == pytest.approx(6)
    assert 0 < run.coded_bits < 8
    assert 0 < run.usage <= 1
    assert (run.psnr is None, run.ms_ssim is None) == (media == "speech",) * 2
    assert (run.mel_distance is None, run.si_sdr is None) == (media == "images",) * 2
