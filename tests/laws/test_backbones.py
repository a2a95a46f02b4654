"""Every backbone: shapes, stated stride and halo true, step 0 a sensible transform."""

import pytest
import torch
from torch import Tensor, nn

from codec.nn import PatchDecoder, PatchEncoder, principal_basis
from tests.conftest import synthetic_picture

PAIRS = {
    "patch8": lambda: (PatchEncoder(8, width=16, depth=2), PatchDecoder(8, width=16, depth=3, mend_width=8)),
    "patch16": lambda: (
        PatchEncoder(12, patch=16, width=16, depth=3),
        PatchDecoder(12, patch=16, width=16, depth=1, mend_width=8),
    ),
}


def shake(module: nn.Module) -> nn.Module:
    """Random weights in the layers that start at zero, so that the whole receptive field shows."""
    generator = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for parameter in module.parameters():
            parameter.add_(0.1 * torch.randn(parameter.shape, generator=generator))
    return module.eval()


@pytest.fixture(params=PAIRS)
def pair(request: pytest.FixtureRequest) -> tuple[PatchEncoder, PatchDecoder]:
    encoder, decoder = PAIRS[request.param]()
    shake(encoder), shake(decoder)
    return encoder, decoder


@pytest.mark.parametrize(("rows", "columns"), [(1, 1), (1, 5), (3, 2)])
def test_shapes(pair: tuple[PatchEncoder, PatchDecoder], rows: int, columns: int) -> None:
    encoder, decoder = pair
    stride = encoder.stride
    latent = encoder(torch.rand(2, 3, rows * stride, columns * stride))
    assert latent.shape[2:] == (rows, columns)
    assert decoder(latent).shape == (2, 3, rows * stride, columns * stride)


def reach(change: Tensor) -> int:
    """Largest distance from the centre at which anything changed."""
    rows, columns = change.nonzero(as_tuple=True)
    centre = change.shape[0] // 2
    return int(torch.maximum((rows - centre).abs(), (columns - centre).abs()).max())


@torch.no_grad()
def test_encoder_sees_no_further_than_its_halo(pair: tuple[PatchEncoder, PatchDecoder]) -> None:
    encoder = pair[0].double()
    side, stride = 2 * encoder.halo + 5, encoder.stride
    x = torch.rand(1, 3, side * stride, side * stride, dtype=torch.float64)
    y = x.clone()
    centre = slice(side // 2 * stride, (side // 2 + 1) * stride)
    y[..., centre, centre] += 1
    change = (encoder(x) - encoder(y)).abs().amax((0, 1)) > 0
    assert reach(change) == encoder.halo


@torch.no_grad()
def test_decoder_sees_no_further_than_its_halo(pair: tuple[PatchEncoder, PatchDecoder]) -> None:
    decoder = pair[1].double()
    side, stride = 2 * decoder.halo + 5, decoder.stride
    z = torch.randn(1, decoder.linear.in_channels, side, side, dtype=torch.float64)
    y = z.clone()
    y[..., side // 2, side // 2] += 1
    change = (decoder(z) - decoder(y)).abs().amax((0, 1)) > 0
    positions = change.reshape(side, stride, side, stride).any(3).any(1)
    assert reach(positions) <= decoder.halo


@torch.no_grad()
def test_step_zero_is_a_principal_component_transform() -> None:
    """Untrained, all components kept: the picture comes back; half of them: most of it."""
    picture = synthetic_picture(64, 96)[None].float() / 255
    for latent_dim, error in ((192, 1e-4), (96, 0.05)):
        encoder, decoder = PatchEncoder(latent_dim, width=16, depth=1), PatchDecoder(latent_dim, width=16, depth=1)
        basis = principal_basis([picture], latent_dim, 8, step=80 / 255)
        encoder.start_from(basis)
        decoder.start_from(basis)
        assert (decoder(encoder(picture)) - picture).square().mean().sqrt() < error
        torch.testing.assert_close(basis.directions @ basis.directions.T, torch.eye(latent_dim), atol=1e-4, rtol=0)
