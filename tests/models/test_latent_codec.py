"""LatentCodec: real files at every quality, targets, regions of interest, refinement, missing planes, damage."""

import io
import itertools

import pytest
import torch

from codec.container import Reader, describe
from codec.container.describe import truncate
from codec.errors import BitstreamError, ModelMismatchError, UsageError
from codec.models import Encoding, load, save
from codec.models.rate import bracket, decibels, gain_of
from codec.types import Media
from tests.conftest import synthetic_picture
from tests.models.latent_models import CONFIG, small_latent_codec


def picture(height: int = 150, width: int = 200, seed: int = 9) -> Media:
    return Media("image", synthetic_picture(height, width, seed))


@pytest.mark.parametrize("size", [(1, 1), (16, 16), (17, 63), (64, 130), (257, 129)])
def test_any_size_comes_back(size: tuple[int, int]) -> None:
    model, media = small_latent_codec(), picture(*size)
    decoded = model.decompress(model.compress(media, Encoding(quality=90)))
    assert decoded.samples.shape == media.samples.shape
    assert decibels(media, decoded) > 22


def test_the_file_holds_the_codes_and_decodes_to_what_they_say() -> None:
    model, media = small_latent_codec(), picture()
    data = model.compress(media, Encoding(quality=60))
    codes, held = model.encode(media.samples[None], 60), model.read_codes(io.BytesIO(data))
    assert held.gain == codes.gain == gain_of(60)
    assert all(torch.equal(a.codes, b.codes) for a, b in zip(codes.planes, held.planes, strict=True))
    pixels = model.decode(codes)[0, :, :150, :200].mul(255).round().to(torch.uint8)
    assert torch.equal(pixels, model.decompress(data).samples)


def test_finer_quality_costs_more_and_looks_better() -> None:
    model, media = small_latent_codec(), picture()
    files = [model.compress(media, Encoding(quality=quality)) for quality in (1, 12, 25, 37, 50, 62, 75, 87, 100)]
    assert all(len(a) < len(b) for a, b in itertools.pairwise(files))
    scores = [decibels(media, model.decompress(data)) for data in files]
    assert all(a < b + 0.05 for a, b in itertools.pairwise(scores))


def test_estimated_bits_are_those_of_the_file() -> None:
    from codec.entropy import CodeLength, GivenCodes, walk

    model, media = small_latent_codec(), picture(120, 120)
    data = model.compress(media, Encoding(quality=80))
    codes, length = model.encode(media.samples[None], 80), CodeLength()
    layout = model.prior.layout((15, 15), codes.gain or 0)
    walk(model.prior, layout, GivenCodes([plane.codes.flatten().numpy() for plane in codes.planes]), length)
    ideal = length.bits / 8
    assert ideal <= len(data) <= 1.005 * ideal + 40 + 8 * (len(codes.planes) - 1)


@pytest.mark.parametrize("share", [0.35, 0.6, 0.85])
def test_a_target_size_is_filled(share: float) -> None:
    model, media = small_latent_codec(), picture()
    low, high = (len(model.compress(media, Encoding(quality=quality))) for quality in (1, 100))
    target = round(low + share * (high - low))
    data = model.compress(media, Encoding(target_bytes=target))
    assert 0.98 * target <= len(data) <= target
    assert data == model.compress(media, Encoding(target_bpp=8 * (target + 0.4) / (150 * 200)))


@pytest.mark.parametrize("target", [30.2, 33.5])
def test_a_target_psnr_is_hit(target: float) -> None:
    model, media = small_latent_codec(), picture()
    decoded = model.decompress(model.compress(media, Encoding(target_psnr=target)))
    assert abs(decibels(media, decoded) - target) <= 0.05


def test_targets_out_of_reach_are_refused() -> None:
    model, media = small_latent_codec(), picture()
    with pytest.raises(UsageError, match="the coarsest quality takes"):
        model.compress(media, Encoding(target_bytes=20))
    with pytest.raises(UsageError, match="dB, not 80"):
        model.compress(media, Encoding(target_psnr=80.0))
    finest = model.compress(media, Encoding(quality=100))
    assert model.compress(media, Encoding(target_bytes=10**7)) == finest
    with pytest.raises(UsageError, match="exclude each other"):
        Encoding(quality=3, target_bpp=1.0)


def test_a_model_of_one_rate_says_so() -> None:
    from codec.entropy import FactorisedLatentPrior
    from codec.models import LatentCodec
    from codec.nn import ClassicAnalysis, ClassicSynthesis

    fixed = LatentCodec(
        ClassicAnalysis(6, width=8), FactorisedLatentPrior(6), ClassicSynthesis(6, width=8), latent_dim=6
    )
    fixed.eval().prior.freeze([torch.randn(1, 6, 4, 4)])
    media = picture(40, 40)
    data = fixed.compress(media)
    assert Reader(io.BytesIO(data)).head.gain is None
    assert fixed.decompress(data).samples.shape == media.samples.shape
    with pytest.raises(UsageError, match="one fixed rate; quality"):
        fixed.compress(media, Encoding(quality=50))
    with pytest.raises(UsageError, match="no static prior"):
        small_latent_codec().compress(media, Encoding(prior="static"))


def test_search_looks_at_few_gains() -> None:
    seen: list[int] = []

    def value(gain: int) -> float:
        seen.append(gain)
        return (gain / 1023) ** 2 * 3

    low, high = bracket(value, 1.0, 1e-9)
    assert (low, high) == (590, 591)
    assert len(seen) <= 16


def test_a_region_of_interest_gets_the_quality() -> None:
    model, media = small_latent_codec(), picture(256, 256)
    mask = torch.zeros(256, 256)
    mask[64:128, 64:192] = 1
    target = len(model.compress(media, Encoding(quality=40)))
    plain = model.decompress(model.compress(media, Encoding(target_bytes=target)))
    region = model.decompress(model.compress(media, Encoding(target_bytes=target, roi=mask)))

    def inside(decoded: Media) -> float:
        return decibels(*(Media("image", one.samples[:, 64:128, 64:192]) for one in (media, decoded)))

    assert inside(region) > inside(plain) + 1.5
    with pytest.raises(UsageError, match="the mask has 8x4 pixels"):
        model.compress(media, Encoding(roi=torch.ones(4, 8)))
    white = model.compress(media, Encoding(quality=40, roi=torch.ones(256, 256)))
    assert white == model.compress(media, Encoding(quality=40))


def test_refinement_never_makes_it_worse() -> None:
    model, media = small_latent_codec(), picture(96, 96)
    price = float(model.distortion_price(torch.tensor(gain_of(50) / 1023)))

    def cost(data: bytes) -> float:
        error = (media.samples.float() - model.decompress(data).samples.float()).square().mean()
        return 8 * len(data) + price * float(error) * 96 * 96

    plain, refined = (model.compress(media, Encoding(quality=50, effort=effort)) for effort in (0, 40))
    assert cost(refined) <= cost(plain)


@pytest.mark.parametrize("progressive", [False, True])
def test_planes_cut_off_leave_a_coarser_picture(progressive: bool) -> None:
    model, media = small_latent_codec(), picture()
    data = model.compress(media, Encoding(quality=80, progressive=progressive))
    scores, sizes = [], []
    for planes in (2, 3, 4, 5):
        sink = io.BytesIO()
        truncate(io.BytesIO(data), sink, planes)
        sizes.append(len(sink.getvalue()))
        scores.append(decibels(media, model.decompress(sink.getvalue())))
    assert scores == sorted(scores)
    assert sizes == sorted(sizes)
    assert scores[0] + 4 < scores[-1]
    with pytest.raises(UsageError, match="can keep 2 to 5 planes"):
        truncate(io.BytesIO(data), io.BytesIO(), 1)


def test_the_front_of_a_progressive_file_is_a_coarse_picture() -> None:
    model, media = small_latent_codec(), picture(256, 256)
    data = model.compress(media, Encoding(quality=90, progressive=True))
    with pytest.raises(BitstreamError):
        model.decompress(data[: len(data) // 2])
    scores = [
        decibels(media, model.decompress(data[: round(share * len(data))], partial=True)) for share in (0.3, 0.6, 1)
    ]
    assert scores == sorted(scores)
    assert scores[0] > 15


def test_a_lost_chunk_leaves_the_others() -> None:
    model, media = small_latent_codec(), picture(256, 256)
    data = bytearray(model.compress(media, Encoding(quality=50)))
    sections = [section for section in describe(io.BytesIO(bytes(data))).sections if section.name == "codes"]
    assert len(sections) == 4
    data[-sections[-1].bytes // 2] ^= 1
    decoded = model.decompress(bytes(data), partial=True)
    whole = model.decompress(model.compress(media, Encoding(quality=50)))
    assert torch.equal(decoded.samples[:, :96, :96], whole.samples[:, :96, :96])


def test_sixteen_bits_and_grey_come_back_as_such() -> None:
    model, media = small_latent_codec(), picture(64, 64)
    deep = Media("image", (media.samples.int() * 257).to(torch.uint16))
    grey = Media("image", media.samples[:1])
    for one in (deep, grey):
        decoded = model.decompress(model.compress(one))
        assert decoded.samples.dtype == one.samples.dtype
        assert decoded.samples.shape == one.samples.shape


def test_a_checkpoint_round_trip_keeps_files_and_makes_floats(tmp_path) -> None:  # type: ignore[no-untyped-def]
    model, media = small_latent_codec(), picture(100, 100)
    info = save(tmp_path / "small", model, CONFIG, "# small\n\nA test.\n")
    loaded = load(tmp_path / "small")
    assert info.coding_hashes == {"learned": model.coding_hash().hex()}
    data = loaded.compress(media, Encoding(quality=70))
    assert decibels(media, model.decompress(data)) == pytest.approx(decibels(media, loaded.decompress(data)), abs=0.02)
    refined = loaded.compress(media, Encoding(quality=70, effort=5))
    assert decibels(media, loaded.decompress(refined)) > 20
    assert Reader(io.BytesIO(data)).head.gain == gain_of(70)


def test_another_model_refuses_the_file() -> None:
    from tests.models.latent_models import small_latent_codec as make

    model, media = make(), picture(64, 64)
    data = bytearray(model.compress(media))
    data[5] ^= 1
    with pytest.raises((ModelMismatchError, BitstreamError)):
        model.decompress(bytes(data))
