"""Parts of the sound backbones against definitions; the lapped pair is a linear codec before it learns."""

import math
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from codec.nn import (
    BandPyramid,
    EscDecoder,
    EscEncoder,
    LappedBasis,
    LappedDecoder,
    LappedEncoder,
    SeanetDecoder,
    fold_weight_norm,
    lapped_basis,
    mdct_basis,
    pad_to_frames,
)
from codec.nn.sound.band_blocks import BandAttention, MergeBands, SplitBands
from codec.nn.sound.causal import CausalConv, CausalUpsampling
from codec.nn.sound.overlap import cosine_directions, fourier_directions, lapped_frames, overlap_add, sine_window
from codec.nn.sound.snake import Snake
from codec.nn.sound.spectrum import SpectrumAnalysis, SpectrumSynthesis

HOP = 32


def voices(batch: int = 4, frames: int = 40) -> Tensor:
    """Gliding harmonic sounds with a little noise: `(batch, 1, frames * HOP)`."""
    time = torch.arange(frames * HOP) / HOP
    pitch = torch.linspace(0.7, 1.6, batch)[:, None] * (1 + 0.1 * (time / 7).sin())
    phase = 2 * math.pi * torch.cumsum(pitch / HOP, 1)
    waves = sum((k * phase).sin() / k**2 for k in range(1, 6))
    return (0.1 * waves + 0.002 * torch.randn(batch, frames * HOP))[:, None]


def lapped_pair(basis: LappedBasis) -> tuple[LappedEncoder, LappedDecoder]:
    dim = len(basis.directions)
    pair = LappedEncoder(dim, hop=HOP, width=16, depth=2), LappedDecoder(dim, hop=HOP, width=16, depth=2)
    for part in pair:
        part.start_from(basis)
    return pair


def lost(pair: tuple[LappedEncoder, LappedDecoder], x: Tensor) -> float:
    """Energy of the error over that of the sound, in the hops that are whole."""
    whole = x[..., :-HOP]
    error = pair[1](pair[0](x))[..., :-HOP] - whole
    return float(error.square().sum() / whole.square().sum())


@torch.no_grad()
@pytest.mark.parametrize("kind", ["mdct", "principal"])
def test_untrained_lapped_pair_gives_back_what_it_was_given(kind: str) -> None:
    x = voices()
    pair = lapped_pair(mdct_basis(HOP, HOP, step=0.3) if kind == "mdct" else lapped_basis([x], HOP, HOP))
    torch.testing.assert_close(pair[1](pair[0](x))[..., :-HOP], x[..., :-HOP], atol=1e-6, rtol=0)


@torch.no_grad()
def test_the_linear_path_stays_precise_under_autocast() -> None:
    x = voices()
    encoder, decoder = lapped_pair(mdct_basis(HOP, HOP, step=0.01))
    with torch.autocast("cpu", torch.bfloat16):
        y = decoder(encoder(x))
    torch.testing.assert_close(y[..., :-HOP], x[..., :-HOP], atol=1e-6, rtol=0)


@torch.no_grad()
def test_a_new_frame_completes_the_hop_before_it() -> None:
    """Future 1: with one more frame the last hop is whole too."""
    encoder, decoder = lapped_pair(mdct_basis(HOP, HOP))
    x = voices(1, 5)
    later = F.pad(x, (0, HOP))
    torch.testing.assert_close(decoder(encoder(later))[..., :-HOP], x, atol=1e-6, rtol=0)
    assert (decoder(encoder(x)) - x)[..., -HOP:].abs().max() > 0.01


@torch.no_grad()
def test_principal_components_keep_most_for_their_number() -> None:
    x = voices()
    losses = [lost(lapped_pair(lapped_basis([x[:2], x[2:]], dim, HOP)), x) for dim in (2, 4, 8, 16)]
    assert losses == sorted(losses, reverse=True)
    for dim, principal in zip((2, 4, 8, 16), losses, strict=True):
        assert principal < lost(lapped_pair(mdct_basis(dim, HOP)), x)
    z = lapped_pair(lapped_basis([x], 4, HOP))[0](x)
    deviations = z.square().mean((0, 2))
    assert deviations.mean() == pytest.approx(1, rel=0.01)
    assert deviations.tolist() == sorted(deviations.tolist(), reverse=True)


@torch.no_grad()
def test_a_louder_sound_comes_out_louder_and_no_different() -> None:
    """Of what is learned too; behind the first frames, before which lies silence of one level."""
    x = voices(frames=20)
    for part, given in zip(lapped_pair(lapped_basis([x], 8, HOP)), (x, torch.randn(4, 8, 20)), strict=True):
        for parameter in part.shaping.leave.parameters():
            torch.nn.init.normal_(parameter, std=0.1)
        quiet, loud = (part(factor * given) for factor in (1, 30))
        whole = slice(quiet.shape[-1] // 2, None)
        torch.testing.assert_close(30 * quiet[..., whole], loud[..., whole], rtol=0.01, atol=0.01 * float(loud.std()))


def test_a_few_steps_lower_the_loss() -> None:
    """The linear maps rest, so that it is the networks that learn."""
    x = voices()
    pair = lapped_pair(lapped_basis([x], 4, HOP))
    for part in pair:
        part.linear.requires_grad_(False)
    optimiser = torch.optim.Adam([p for part in pair for p in part.parameters() if p.requires_grad], lr=5e-3)
    losses = []
    for _ in range(40):
        loss = F.mse_loss(pair[1](pair[0](x))[..., :-HOP], x[..., :-HOP])
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        losses.append(loss.item())
    assert losses[-1] < 0.7 * losses[0], losses


def test_a_basis_must_fit() -> None:
    with pytest.raises(ValueError, match="1 to 32 directions, got 33"):
        mdct_basis(33, HOP)
    with pytest.raises(ValueError, match="silence"):
        lapped_basis([torch.zeros(1, 1, 4 * HOP)], 8, HOP)
    with pytest.raises(ValueError, match=r"basis has shape \(9, 64\), expected \(8, 64\)"):
        LappedEncoder(8, hop=HOP, width=8, depth=1).start_from(mdct_basis(9, HOP))
    with pytest.raises(ValueError, match=r"basis has shape \(64, 9\), expected \(64, 8\)"):
        LappedDecoder(8, hop=HOP, width=8, depth=1).start_from(mdct_basis(9, HOP))


def test_windows_and_directions_are_orthogonal_transforms() -> None:
    window = sine_window(HOP)
    torch.testing.assert_close(window[:HOP] ** 2 + window[HOP:] ** 2, torch.ones(HOP))
    lapped = cosine_directions(HOP) * window
    torch.testing.assert_close(lapped @ lapped.T, torch.eye(HOP), atol=1e-6, rtol=0)
    torch.testing.assert_close(lapped[:, HOP:] @ lapped[:, :HOP].T, torch.zeros(HOP, HOP), atol=1e-6, rtol=0)
    fourier = fourier_directions(HOP)
    torch.testing.assert_close(fourier @ fourier.T, torch.eye(HOP), atol=1e-6, rtol=0)


def test_fourier_directions_are_the_real_transform() -> None:
    x = torch.randn(HOP)
    spectrum = torch.fft.rfft(x, norm="ortho")
    parts = torch.cat([spectrum.real, spectrum.imag[1:-1]])
    parts[[*range(1, HOP // 2), *range(HOP // 2 + 1, HOP)]] *= math.sqrt(2)
    torch.testing.assert_close(fourier_directions(HOP) @ x, parts, atol=1e-6, rtol=0)


def test_spectra_are_those_of_windowed_frames_and_come_back() -> None:
    x = voices(2, 6)
    spectra = SpectrumAnalysis(HOP)(x)
    expected = torch.fft.rfft(lapped_frames(x, HOP) * sine_window(HOP), norm="ortho") * math.sqrt(2) / 0.1
    torch.testing.assert_close(spectra[..., 1:HOP], expected.real[..., 1:HOP], atol=1e-5, rtol=0)
    torch.testing.assert_close(spectra[..., HOP + 1 :], expected.imag[..., 1:HOP], atol=1e-5, rtol=0)
    torch.testing.assert_close(SpectrumSynthesis(HOP)(spectra)[..., :-HOP], x[..., :-HOP], atol=1e-6, rtol=0)


@torch.no_grad()
def test_band_attention_sees_its_window_only() -> None:
    """Bands 4 … 7, or 2 … 5 where windows are shifted, of its own and the two spectra before."""
    for shift, seen in ((0, {4, 5, 6, 7}), (2, {2, 3, 4, 5})):
        attention = BandAttention(8, heads=2, bands=4, spectra=3, shift=shift)
        x = torch.randn(1, 6, 12, 8)
        moved = [
            (t, band) for t in range(6) for band in range(12) if _moves(attention, x, t, band, at=(4, 4 + shift // 2))
        ]
        assert {t for t, _ in moved} == {2, 3, 4}
        assert {band for _, band in moved} == seen


def _moves(attention: BandAttention, x: Tensor, spectrum: int, band: int, at: tuple[int, int]) -> bool:
    """Whether one place's output depends on another's input."""
    changed = x.clone()
    changed[:, spectrum, band] += 1
    return not torch.equal(attention(changed)[:, *at], attention(x)[:, *at])


@torch.no_grad()
def test_merging_bands_is_undone_by_splitting() -> None:
    merge, split, x = MergeBands(3, 6), SplitBands(6, 3), torch.randn(2, 4, 8, 3)
    for layer in (merge.linear, split.linear):
        layer.weight.copy_(torch.eye(6))
        layer.bias.zero_()
    assert merge(x).shape == (2, 4, 4, 6)
    assert torch.equal(split(merge(x)), x)


@pytest.mark.parametrize(
    ("sizes", "message"),
    [
        ({"bands": 24}, "multiple of 16 bands, got 24"),
        ({"hop": 240}, "must divide the hop, got 240"),
        ({"widths": (24, 40, 48)}, "multiples of 24"),
        ({"latent_dims": (8, 8)}, "3 resolutions need a latent_dim each"),
        ({"latent_dims": (8, 8, 0)}, "the last above 0"),
    ],
)
def test_esc_says_what_does_not_fit(sizes: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        BandPyramid(**{"latent_dims": (0, 0, 8), **sizes})


def small_pyramid(latent_dims: tuple[int, ...]) -> BandPyramid:
    return BandPyramid(latent_dims, hop=HOP, bands=16, widths=(24, 24, 24), depth=1)


@torch.no_grad()
@pytest.mark.parametrize("latent_dims", [(0, 0, 5), (2, 0, 5), (2, 3, 5)])
def test_a_frame_holds_the_features_of_resolutions_finest_first(latent_dims: tuple[int, ...]) -> None:
    """Blocks of a resolution change its own part and the coarser ones."""
    pyramid, x = small_pyramid(latent_dims), voices(1, 6)
    encoder = EscEncoder(pyramid)
    before = encoder(x)
    assert before.shape == (1, sum(latent_dims), 6)
    for resolution in range(3):
        encoder.blocks[resolution][0].think[1].bias.add_(1)
        after = encoder(x)
        moved = [bool(part.any()) for part in (after - before).split(list(pyramid.parts.values()), 1)]
        assert moved == [place >= resolution for place in pyramid.parts]
        before = after


@torch.no_grad()
@pytest.mark.parametrize("latent_dims", [(0, 0, 5), (2, 0, 5), (2, 3, 5)])
def test_a_part_of_a_frame_enters_at_its_resolution(latent_dims: tuple[int, ...]) -> None:
    """What goes into the blocks of coarser ones is the same whatever it holds."""
    pyramid, q = small_pyramid(latent_dims), torch.randn(1, sum(latent_dims), 6)
    decoder = EscDecoder(pyramid)
    assert decoder(q).shape == (1, 1, 6 * HOP)
    seen: list[Tensor] = []
    for blocks in decoder.blocks:
        blocks.register_forward_pre_hook(lambda _, inputs: seen.append(inputs[0]))
    for place, part in zip(pyramid.parts, q.split(list(pyramid.parts.values()), 1), strict=True):
        seen.clear()
        for change in (1.0, -1.0):  # in place: a part is a view
            decoder(q)
            part.add_(change)
        first, second = seen[2::-1], seen[5:2:-1]  # finest first
        assert [not torch.equal(a, b) for a, b in zip(first, second, strict=True)] == [i <= place for i in range(3)]


def test_frames_overlap_by_a_hop() -> None:
    x = torch.arange(1.0, 7)[None, None]
    frames = lapped_frames(x, 2)
    assert frames.tolist() == [[[0, 0, 1, 2], [1, 2, 3, 4], [3, 4, 5, 6]]]
    assert overlap_add(frames).tolist() == [[[2, 4, 6, 8, 5, 6]]]


@pytest.mark.parametrize(("samples", "padded"), [(0, 0), (1, HOP), (HOP, HOP), (HOP + 1, 2 * HOP)])
def test_padding_fills_the_last_frame(samples: int, padded: int) -> None:
    x = pad_to_frames(torch.ones(2, 1, samples), HOP)
    assert x.shape == (2, 1, padded)
    assert x.sum() == 2 * samples


@torch.no_grad()
def test_snake_and_its_slope() -> None:
    """x + sin^2(a x) / a has the slope 1 + sin(2 a x); with a near zero it is the identity."""
    snake, x = Snake(3), torch.linspace(-4, 4, 50, dtype=torch.float64).expand(1, 3, 50).clone().requires_grad_()
    snake.double().log_alpha.copy_(torch.tensor([[1.0], [2.0], [1e-30]]).double().log())
    alpha = snake.log_alpha.exp()
    with torch.enable_grad():
        y = snake(x)
        (slope,) = torch.autograd.grad(y.sum(), x)
    torch.testing.assert_close(slope, 1 + (2 * alpha * x).sin())
    torch.testing.assert_close(y, x + (alpha * x).sin() ** 2 / alpha)
    torch.testing.assert_close(y[:, 2], x[:, 2])
    assert snake.float()(torch.full((1, 3, 1), math.pi / 2))[0, 0].item() == pytest.approx(math.pi / 2 + 1)


@torch.no_grad()
def test_upsampling_is_a_transposed_convolution() -> None:
    """Position t of the outputs gathers the taps s … 2 s - 1 of input t - 1 and the taps 0 … s - 1 of input t."""
    layer, x = CausalUpsampling(3, 2, 4), torch.randn(2, 3, 5)
    convolution = layer.phases.convolution
    taps = convolution.weight.unflatten(0, (2, 4)).permute(2, 0, 3, 1)  # (before, after, input t - 1 or t, phase)
    expected = F.conv_transpose1d(x, taps.flip(2).flatten(2), stride=4)[..., :-4]
    expected = expected + convolution.bias.reshape(1, 2, 4).repeat(1, 1, 5)
    torch.testing.assert_close(layer(x), expected)


def test_a_kernel_must_cover_its_stride() -> None:
    with pytest.raises(ValueError, match="at least 4 taps"):
        CausalConv(1, 1, 3, stride=4)


@torch.no_grad()
def test_folding_weight_norm_changes_nothing() -> None:
    decoder = SeanetDecoder(8, width=4).eval()
    for parameter in decoder.parameters():
        parameter.mul_(1.5)
    q = torch.randn(1, 8, 6)
    expected = decoder(q)
    torch.testing.assert_close(fold_weight_norm(decoder)(q), expected)
    assert not [name for name in decoder.state_dict() if "parametrizations" in name]
