"""Tiles of the decoder: as large as they may be, joined without a seam, equal to the whole up to rounding."""

from typing import Any

import pytest
import torch

from codec.models import TokenCodec
from codec.models.tiling import Tile, block_around, cut_block, filled, tiles
from codec.models.token import DECODED_PIXELS
from codec.nn import PatchDecoder, PatchEncoder
from codec.quantizers import FSQ
from codec.types import Codes, Plane

STRIDE = 8


def make() -> TokenCodec:
    """A tiny codec whose decoder adds something at every layer."""
    torch.manual_seed(5)
    encoder, decoder = PatchEncoder(3, width=8, depth=1), PatchDecoder(3, width=8, depth=2, mend_width=4)
    with torch.no_grad():
        for parameter in decoder.parameters():
            parameter.add_(0.1 * torch.randn_like(parameter))
    quantizer: Any = FSQ([8, 5, 5])
    return TokenCodec(encoder, quantizer, decoder, latent_dim=3, tile=4).eval()


@torch.no_grad()
@pytest.mark.parametrize("columns", [1, DECODED_PIXELS // STRIDE, DECODED_PIXELS // STRIDE + 1, 250])
def test_a_decoded_picture_has_no_seams(columns: int) -> None:
    codec = make()
    codes = torch.randint(200, (2, 3, columns))
    vectors = codec.quantizer.decode(filled(codes, codec.tile + 2 * codec.decoder.halo)[..., None])
    whole = codec.decoder(vectors.movedim(-1, 1))[..., : 3 * STRIDE, : columns * STRIDE].clamp(0, 1)
    tiled = codec.decode(Codes((Plane(codes, 200),)))
    torch.testing.assert_close(tiled, whole, atol=1e-5, rtol=0)
    assert torch.equal(tiled, codec.decode(Codes((Plane(codes, 200),))))


def test_a_grown_tile_stays_inside_and_knows_its_place() -> None:
    grid = (11, 13)
    for tile in tiles(grid, 4):
        around = tile.grown(2, grid)
        assert (around.top, around.left) == (max(0, tile.top - 2), max(0, tile.left - 2))
        assert (around.bottom, around.right) == (min(11, tile.bottom + 2), min(13, tile.right + 2))
        inner, rows = tile.within(around), torch.arange(11)
        assert inner.shape == tile.shape
        assert torch.equal(rows[around.rows][inner.rows], rows[tile.rows])
    assert Tile(0, 0, 1, 1).grown(3, (1, 1)) == Tile(0, 0, 1, 1)


def test_a_block_is_cut_where_its_positions_are() -> None:
    grid = torch.arange(2 * 11 * 13).reshape(2, 11, 13)
    for tile in tiles((6, 7), 4):  # two cells a position, the last row and column half outside
        block = block_around(tile, (6, 7), 4, 1)
        rows = [min(2 * int(row) + i, 10) for row in block.rows for i in range(2)]
        columns = [min(2 * int(column) + i, 12) for column in block.columns for i in range(2)]
        assert torch.equal(cut_block(grid, block, 2), grid[:, rows][:, :, columns])


def test_a_small_grid_is_filled_by_its_mirror_image_as_in_a_block() -> None:
    codes = torch.arange(2 * 3 * 7).reshape(2, 3, 7)
    block = block_around(Tile(0, 0, 3, 7), (3, 7), 8, 1)
    assert torch.equal(filled(codes, 10), cut_block(codes, block))
    assert torch.equal(filled(codes, 3), codes)
    assert torch.equal(filled(codes, 5), codes[:, [0, 1, 2, 2, 1]])
