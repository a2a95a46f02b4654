"""TokenCodec: tiles are exact, files come back, other models are refused."""

import io
import resource

import pytest
import torch
from torch import nn

from codec.container import Head, ImageFields, Writer
from codec.errors import BitstreamError, ModelMismatchError
from codec.models import TokenCodec
from codec.models.tiling import Tile, block_around, cut_block, tiles
from codec.nn import PatchDecoder, PatchEncoder
from codec.quantizers import FSQ, Cosine, EMACodebook, Euclidean, Projected, Residual, VectorQuantizer
from codec.types import Media
from tests.conftest import synthetic_picture


def make(quantizer: nn.Module | None = None, tile: int = 4, chunk: int = 6) -> TokenCodec:
    """A tiny codec with random weights everywhere."""
    torch.manual_seed(3)
    quantizer = quantizer if quantizer is not None else Projected(8, FSQ([8, 5, 5]))
    codec = TokenCodec(
        PatchEncoder(8, width=16, depth=2),
        quantizer,
        PatchDecoder(8, width=16, depth=2, mend_width=8),
        latent_dim=8,
        tile=tile,
        chunk=chunk,
    )
    with torch.no_grad():
        for parameter in codec.parameters():
            parameter.add_(0.05 * torch.randn_like(parameter))
    return codec.eval()


def rvq() -> Residual:
    return Residual([VectorQuantizer(EMACodebook(16, 8)) for _ in range(3)])


@torch.no_grad()
def test_tokens_of_tiles_equal_tokens_of_the_whole_picture() -> None:
    """In float64, where a kernel's last digit decides nothing: interior positions need only the halo."""
    codec = make().double()
    codec.quantizer.float()
    picture = torch.rand(1, 3, 11 * 8, 13 * 8, dtype=torch.float64)
    whole = codec.quantizer.encode(codec.encoder(picture).movedim(1, -1).float())[..., 0]
    for tile in tiles((11, 13), codec.tile):
        block = block_around(tile, (11, 13), codec.tile, codec.encoder.halo)
        part = codec.encoder(cut_block(picture, block, 8))[0, :, block.inner.rows, block.inner.columns]
        codes = codec.quantizer.encode(part.movedim(0, -1).float())[..., 0]
        assert torch.equal(codes, whole[0, tile.rows, tile.columns])


@torch.no_grad()
def test_a_picture_of_tiles_decodes_as_the_whole() -> None:
    codec = make().double()
    codec.quantizer.float()
    codes = torch.randint(200, (1, 11, 13))
    whole = codec.decoder(codec.quantizer.decode(codes[..., None]).double().movedim(-1, 1))
    for tile in tiles((11, 13), codec.tile):
        block = block_around(tile, (11, 13), codec.tile, codec.decoder.halo)
        part = codec.quantizer.decode(codes[:, block.rows[:, None], block.columns, None]).double()
        inner, place = block.inner.scaled(8), tile.scaled(8)
        pixels = codec.decoder(part.movedim(-1, 1))[..., inner.rows, inner.columns]
        torch.testing.assert_close(pixels, whole[..., place.rows, place.columns], atol=1e-9, rtol=0)


def test_blocks_have_one_shape_and_stay_inside_where_they_fit() -> None:
    for grid in ((11, 13), (40, 9), (1, 1), (3, 100)):
        for tile in tiles(grid, 4):
            block = block_around(tile, grid, 4, 2)
            assert (len(block.rows), len(block.columns)) == (8, 8)
            for indices, length in ((block.rows, grid[0]), (block.columns, grid[1])):
                assert 0 <= int(indices.min()) <= int(indices.max()) < length
                if length >= 8:
                    assert torch.equal(indices, torch.arange(int(indices[0]), int(indices[0]) + 8))
            assert torch.equal(block.rows[block.inner.rows], torch.arange(tile.top, tile.bottom))


def test_codes_do_not_depend_on_batch_or_surroundings() -> None:
    codec = make()
    pictures = torch.stack([synthetic_picture(70, 90, seed) for seed in range(3)])
    together = codec.encode(pictures).planes[0].codes
    for i in range(3):
        assert torch.equal(codec.encode(pictures[i : i + 1]).planes[0].codes[0], together[i])
    cropped = codec.encode(pictures[:1, :, : 6 * 8]).planes[0].codes[0]
    assert torch.equal(cropped[:4], together[0, :4])  # the tile's rows whose receptive field lies inside


@pytest.mark.parametrize("size", [(1, 1), (1, 40), (33, 7), (8, 8), (97, 64)])
@pytest.mark.parametrize("quantizer", [None, rvq], ids=["fsq", "residual"])
def test_file_round_trip(size: tuple[int, int], quantizer: object) -> None:
    codec = make(quantizer() if callable(quantizer) else None)
    for channels in (1, 3):
        media = Media("image", synthetic_picture(*size)[:channels])
        back = codec.decompress(codec.compress(media))
        assert back.samples.shape == media.samples.shape
        expected = codec.decode(codec.encode(media.samples.expand(3, -1, -1)[None]))[0, :, : size[0], : size[1]]
        if channels == 3:
            assert torch.equal(back.samples, expected.mul(255).round().to(torch.uint8))


def test_another_models_file_is_refused() -> None:
    data = make().compress(Media("image", synthetic_picture(20, 20)))
    other = make(Projected(8, FSQ([8, 5, 4])))
    with pytest.raises(ModelMismatchError, match="needs model"):
        other.decompress(data)


def test_partial_keeps_whole_chunks() -> None:
    codec = make(chunk=4)
    media = Media("image", synthetic_picture(64, 64))
    data = codec.compress(media)
    with pytest.raises(BitstreamError):
        codec.decompress(data[: len(data) * 2 // 3])
    whole, part = codec.decompress(data), codec.decompress(data[: len(data) * 2 // 3], partial=True)
    assert torch.equal(part.samples[:, :8, :8], whole.samples[:, :8, :8])
    assert not torch.equal(part.samples, whole.samples)


def test_disagreeing_parts_are_refused_with_both_numbers() -> None:
    with pytest.raises(ValueError, match="latent_dim is 9 but the quantizer works on 8"):
        TokenCodec(PatchEncoder(9), rvq(), PatchDecoder(9), latent_dim=9)


def test_synthesis_is_not_part_of_the_hash() -> None:
    codec = make()
    before = codec.coding_hash()
    with torch.no_grad():
        next(codec.decoder.parameters()).add_(1)
    assert codec.coding_hash() == before
    with torch.no_grad():
        next(codec.quantizer.parameters()).add_(1)
    assert codec.coding_hash() != before


def test_what_no_tensor_in_the_checkpoint_tells_is_part_of_the_hash() -> None:
    """Levels of FSQ in another order, or another distance, decode the same codes to other vectors."""
    hashes = [make(Projected(8, FSQ(levels))).coding_hash() for levels in ([8, 5, 5], [5, 8, 5], [5, 5, 8])]
    assert len(set(hashes)) == 3
    distances = [
        make(VectorQuantizer(EMACodebook(16, 8), distance)).coding_hash() for distance in (Euclidean(), Cosine())
    ]
    assert distances[0] != distances[1]


def test_a_lying_size_takes_no_memory_before_the_chunks_are_there() -> None:
    codec, sink = make(chunk=1 << 14), io.BytesIO()
    head = Head(ImageFields(1 << 16, 1 << 16), codec.coding_hash()[:8], codec.prior.codebook_sizes)
    Writer(sink, head).finish()
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    with pytest.raises(BitstreamError, match="chunks are missing"):
        codec.decompress(sink.getvalue())
    assert (
        resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 100_000
    )  # KiB; the codes alone would take 512 MiB


def test_tiles_cover_a_grid_once() -> None:
    seen = torch.zeros(11, 13)
    for tile in tiles((11, 13), 4):
        seen[tile.rows, tile.columns] += 1
    assert (seen == 1).all()
    assert Tile(1, 2, 3, 5).scaled(8) == Tile(8, 16, 24, 40)
