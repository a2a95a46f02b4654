"""Several rates from one codebook: clusters of its codes, written with their own tables and read as ordinary codes."""

import io
from pathlib import Path

import pytest
import torch
from reduce_codebook import TARGET, reduce

from codec.entropy import ReducedPrior
from codec.entropy.reduced import by_quality
from codec.errors import ModelMismatchError, UsageError
from codec.models import Encoding, TokenCodec, find, load_as, save
from codec.types import Media
from tests.conftest import synthetic_picture

TINY = Path("tests/golden/tiny")


@pytest.fixture(scope="module")
def model() -> TokenCodec:
    tiny = load_as(TokenCodec, TINY)
    reduce(tiny, [16, 4])
    tiny.seal()
    return tiny


@pytest.fixture(scope="module")
def picture() -> Media:
    return Media("image", synthetic_picture(64, 80, 0))


def test_fewer_codes_are_fewer_bytes_and_coarser(model: TokenCodec, picture: Media) -> None:
    files = [model.compress(picture, Encoding(quality=quality)) for quality in (1, 50, 100)]
    assert [len(data) for data in files] == sorted(len(data) for data in files)
    assert len({len(data) for data in files}) == 3
    decoded = [model.decompress(data).samples.float() for data in files]
    errors = [float((samples - picture.samples).square().mean()) for samples in decoded]
    assert errors == sorted(errors, reverse=True)
    assert files[2] == model.compress(picture)
    codes = model.read_codes(io.BytesIO(files[0])).planes[0]
    assert codes.alphabet == 64
    assert len(codes.codes.unique()) <= 4


def test_files_of_the_whole_codebook_stay_what_they_are(model: TokenCodec, picture: Media) -> None:
    tiny = load_as(TokenCodec, TINY)
    assert model.compress(picture) == tiny.compress(picture)
    with pytest.raises(ModelMismatchError):
        tiny.decompress(model.compress(picture, Encoding(quality=1)))
    with pytest.raises(UsageError, match="continuous quality"):
        tiny.compress(picture, Encoding(quality=1))


def test_a_checkpoint_keeps_them(model: TokenCodec, picture: Media, tmp_path: Path) -> None:
    from omegaconf import OmegaConf

    config = OmegaConf.to_container(OmegaConf.load(TINY / "config.yaml"))
    entries = [{"_target_": TARGET, "codebook_size": 64, "size": size} for size in (16, 4)]
    save(tmp_path / "cut", model, config | {"reduced": entries}, "")  # type: ignore[operator]
    again = load_as(TokenCodec, tmp_path / "cut")
    data = model.compress(picture, Encoding(quality=30))
    assert again.compress(picture, Encoding(quality=30)) == data
    assert set(find(tmp_path / "cut").coding_hashes) == {"static", "reduced-16", "reduced-4"}
    assert find(tmp_path / "cut").coding_hashes["static"] == find(TINY).coding_hashes["static"]


def test_clusters_are_those_of_the_vectors() -> None:
    prior = ReducedPrior(40, 4)
    centres = torch.tensor([[0.0, 0], [10, 0], [0, 10], [10, 10]])
    vectors = centres.repeat(10, 1) + 0.1 * torch.randn(40, 2, generator=torch.Generator().manual_seed(0))
    counts = torch.arange(1, 41)
    prior.cluster(vectors, counts)
    assert len(prior.members.view(10, 4).unique(dim=0)) == 1
    codes = torch.arange(40)
    assert torch.equal(prior.reduce(prior.restore(prior.reduce(codes))), prior.reduce(codes))
    shares = prior.get_buffer("frequencies_0").double()
    expected = torch.zeros(4).index_add_(0, prior.members.long(), counts.float())
    torch.testing.assert_close((shares / shares.sum()).float(), expected / expected.sum(), atol=0.01, rtol=0)


def test_qualities_share_the_sizes_out() -> None:
    priors = [ReducedPrior(64, size) for size in (16, 4)]
    found = [by_quality(priors, quality) for quality in (1, 33, 34, 66, 67, 100)]
    assert [prior and prior.size for prior in found] == [4, 4, 4, 16, 16, None]
    assert by_quality([], 1) is None
    with pytest.raises(ValueError, match="cannot be cut down"):
        ReducedPrior(4, 4)
