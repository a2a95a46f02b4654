"""Gradients of the estimators against what autograd makes of the formulas written out, and random draws."""

import copy

import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from codec.quantizers import (
    Classifier,
    CodeEntropy,
    Contrast,
    Cosine,
    DotProduct,
    EMACodebook,
    Estimator,
    Euclidean,
    GradientCodebook,
    GumbelSoftmax,
    IndexBackpropagation,
    MaskedEuclidean,
    Orthogonality,
    Residual,
    Rotation,
    StraightThrough,
    Synchronised,
    VectorQuantizer,
)
from codec.quantizers.codebooks.kmeans import kmeans
from codec.quantizers.soft import noisy, score_blocks
from tests.quantizers.sources import clusters, seeded

N, K, DIM = 2200, 2048, 4  # more scores than one block holds


def quantizer(estimator: Estimator, distance: Euclidean, count: int = K) -> tuple[VectorQuantizer, Tensor, Tensor]:
    """With its rows, and vectors `(N, DIM)`."""
    codebook = GradientCodebook(count, DIM)
    codebook.rows.data.normal_(generator=seeded(1))
    z = torch.randn(N, DIM, generator=seeded(2), requires_grad=True)
    return VectorQuantizer(codebook, distance, estimator), codebook.rows, z


def gradients(vectors: Tensor, *leaves: Tensor) -> list[Tensor]:
    """Of a sum of `(N, DIM)` vectors with fixed weights."""
    return list(torch.autograd.grad((vectors * weights()).sum(), leaves))


def weights() -> Tensor:
    return torch.randn(N, DIM, generator=seeded(3))


def written_out(rows: Tensor, scores: Tensor, codes: Tensor) -> Tensor:
    """`(p + sg(h - p)) E`, where only p carries the gradient of the logits."""
    p = scores.softmax(-1)
    return (p + (F.one_hot(codes.squeeze(1), scores.shape[1]) - p).detach()) @ rows


@pytest.mark.parametrize("distance", [DotProduct(), Euclidean()], ids=["dot", "euclidean"])
def test_index_backpropagation_is_the_softmax_straight_through(distance: Euclidean) -> None:
    vq, rows, z = quantizer(IndexBackpropagation(), distance)
    out = vq(z)
    surrogate = written_out(rows, distance.logits(z, rows), out.codes)
    found = gradients(out.vectors, z, rows)
    torch.testing.assert_close(out.vectors, surrogate, atol=1e-5, rtol=1e-4)
    torch.testing.assert_close(found, gradients(surrogate, z, rows), atol=2e-3, rtol=1e-3)
    unused = torch.ones(K, dtype=torch.bool)
    unused[out.codes.flatten()] = False
    assert unused.any()
    assert (found[1][unused].abs().sum(1) > 0).all()


def test_codes_of_dot_products_are_their_largest() -> None:
    vq, rows, z = quantizer(IndexBackpropagation(), DotProduct())
    assert torch.equal(vq.encode(z).squeeze(1), (z @ rows.T).argmax(1))
    assert torch.equal(vq(z).vectors, vq.decode(vq.encode(z)))


def test_estimators_that_need_a_codebook_refuse_a_residual() -> None:
    stack = Residual([VectorQuantizer(EMACodebook(8, 4))], estimator=IndexBackpropagation())
    with pytest.raises(ValueError, match="IndexBackpropagation looks at all codewords"):
        stack(torch.randn(5, 4))


def test_synchronised_shares_the_gradient_with_the_codeword() -> None:
    vq, rows, z = quantizer(Synchronised(0.25), Euclidean())
    out = vq(z)
    of_z, of_rows = gradients(out.vectors, z, rows)
    assert torch.equal(of_z, weights())
    wanted = torch.zeros(K, DIM).index_add_(0, out.codes.squeeze(1), 0.25 * weights())
    torch.testing.assert_close(of_rows, wanted)
    assert torch.equal(out.vectors, vq.decode(out.codes))


def test_gumbel_draws_follow_the_softmax() -> None:
    vq, rows, _ = quantizer(GumbelSoftmax(), DotProduct(), count=6)
    z = torch.tensor([0.5, -1.0, 0.3, 0.2]).expand(40_000, DIM)
    shares = torch.bincount(vq(z).codes.flatten(), minlength=6) / len(z)
    torch.testing.assert_close(shares, (z[0] @ rows.T).softmax(0), atol=0.012, rtol=0)


def test_gumbel_gradient_uses_the_noise_of_the_draw() -> None:
    vq, rows, z = quantizer(GumbelSoftmax(temperature=0.7), Euclidean())
    out = vq(z)
    logits = noisy(vq.distance, rows)
    scores = torch.cat([logits(0, first, block, rows) for first, block in score_blocks(z, K)])
    assert torch.equal(scores.argmax(1), out.codes.squeeze(1))
    surrogate = written_out(rows, scores / 0.7, out.codes)
    torch.testing.assert_close(out.vectors, surrogate, atol=1e-5, rtol=1e-4)
    found, wanted = gradients(out.vectors, z, rows), gradients(surrogate, z, rows)
    torch.testing.assert_close(found, wanted, atol=2e-3, rtol=1e-3)


def test_gumbel_draws_differ_by_step_and_are_the_same_after_a_resume() -> None:
    estimator = GumbelSoftmax(temperature=2.0, decay=0.5, floor=0.6)
    vq, _, z = quantizer(estimator, Euclidean(), count=64)
    first = vq(z).codes
    resumed = copy.deepcopy(vq)
    second = vq(z).codes
    assert (first != second).any()
    assert torch.equal(resumed(z).codes, second)
    assert not torch.equal(second, vq.encode(z))
    assert torch.equal(vq.eval()(z).codes, vq.encode(z))
    assert int(estimator.draws) == 2
    assert estimator.temperature == 0.6
    assert GumbelSoftmax(temperature=2.0).temperature == 2.0


def test_masks_follow_frequency_and_the_sharpness_learns() -> None:
    distance = MaskedEuclidean(64, decay=0.0)
    torch.testing.assert_close(distance.mask_chances(), torch.full((64,), 1 / 64))  # all in use: the frequency itself
    distance.observe(torch.tensor([1.0] * 2 + [0.0] * 62))
    chances = distance.mask_chances()
    assert float(chances[0]) == pytest.approx(0.5 ** (1 / (6 - 5 * (2 / 64) ** 2)))  # few in use: masked nearly always
    assert not chances[2:].any()
    vq, _, z = quantizer(GumbelSoftmax(), distance, count=64)
    assert (vq(z).codes < 2).float().mean() < 0.02
    vq(z).vectors.square().sum().backward()
    assert distance.log_sharpness.grad is not None
    assert distance.log_sharpness.grad != 0


def test_a_network_learns_codes_of_two_kinds_of_frames() -> None:
    """vq-wav2vec: the codes tell two classes apart, with a purity above 90 %."""
    source = clusters(torch.tensor([[1.0, 1, 0, 0], [-1.0, 0, 1, 0]]), 0.3)
    vq = VectorQuantizer(
        GradientCodebook(8, DIM), Classifier(DIM, 8, width=16), GumbelSoftmax(2.0, decay=0.98), [CodeEntropy(1.0)]
    )
    optimizer = torch.optim.Adam(vq.parameters(), 1e-2)
    draws = seeded(1)
    for _ in range(120):
        z = source(256, draws)
        out = vq(z)
        optimizer.zero_grad()
        ((out.vectors - z).square().mean() + 0.1 * out.losses["negative_codebook_entropy"]).backward()
        optimizer.step()
    z = source(2000, draws)
    codes, kind = vq.eval().encode(z).flatten(), (z[:, 0] > 0).long()
    table = torch.zeros(8, 2).index_put_((codes, kind), torch.ones(len(z)), accumulate=True)
    assert float(table.amax(1).sum()) / len(z) > 0.9
    assert (table.sum(1) > 0).sum() >= 2


def test_code_entropy_is_that_of_the_softmax_written_out() -> None:
    z, e = torch.randn(N, DIM, requires_grad=True), torch.randn(K, DIM, requires_grad=True)
    terms = CodeEntropy(3.0)(z, e, DotProduct())
    p = (3.0 * z @ e.T).softmax(1)
    wanted = {
        "sample_entropy": -(p * p.log()).sum(1).mean(),
        "negative_codebook_entropy": (p.mean(0) * p.mean(0).log()).sum(),
    }
    for name, value in wanted.items():
        torch.testing.assert_close(terms[name], value, atol=1e-4, rtol=1e-4)
    found, expected = (torch.autograd.grad(torch.stack(list(t.values())).sum(), (z, e)) for t in (terms, wanted))
    torch.testing.assert_close(found, expected, atol=1e-5, rtol=1e-3)


def test_orthogonality_turns_codewords_to_right_angles() -> None:
    """TE-VQGAN: with K = D = 64 the mean cosine falls below 0.05."""
    vq = VectorQuantizer(GradientCodebook(64, 64), Cosine(), regularisers=[Orthogonality()])
    optimizer = torch.optim.Adam(vq.parameters(), 3e-3)
    for _ in range(60):
        loss = vq(torch.randn(8, 64)).losses["orthogonality"]
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    directions = F.normalize(vq.codebook.vectors().detach(), dim=1)
    cosines = (directions @ directions.T).fill_diagonal_(0).abs()
    assert float(cosines.sum() / (64 * 63)) < 0.05
    assert "orthogonality" not in vq.eval()(torch.randn(8, 64)).losses


def test_contrast_is_small_where_codewords_sit_on_their_vectors() -> None:
    source, centres = clusters(torch.eye(4) * 3, 0.1), torch.eye(4) * 3
    z = source(400, seeded(1))
    at, between = (float(Contrast()(z, e, Euclidean())["contrast"]) for e in (centres, torch.ones(4, 4)))
    assert at < 0.05 < between
    e = torch.randn(4, 4, requires_grad=True)
    Contrast()(z, e, Euclidean())["contrast"].backward()
    assert e.grad is not None
    assert (e.grad.abs().sum(1) > 0).all()


def test_regularisers_of_another_size_are_refused() -> None:
    with pytest.raises(ValueError, match="the MaskedEuclidean is for 8 codes but the codebook has 16"):
        VectorQuantizer(GradientCodebook(16, 4), MaskedEuclidean(8))


def test_a_codebook_without_extras_has_no_extra_modules() -> None:
    """The hash of a model's coding part names its modules: those of released models must not change."""
    names = [name for name, _ in VectorQuantizer(EMACodebook(8, 4)).named_modules()]
    assert names == ["", "codebook", "distance", "estimator"]
    assert type(VectorQuantizer(EMACodebook(8, 4)).estimator) is StraightThrough


def mean_gradient_along_codewords(estimator: Estimator) -> float:
    """Of cells whose codewords are their centroids, for a decoder that gives back what it gets: share of a gradient's mean length."""
    torch.manual_seed(0)
    z = torch.randn(20_000, 4)
    table = kmeans(z, 64, iterations=20)
    codes = torch.cdist(z, table).argmin(1)
    table = torch.zeros_like(table).index_add_(0, codes, z) / codes.bincount(minlength=64)[:, None]
    q = table[codes]
    free = z.clone().requires_grad_()
    (estimator(free, q) - z).square().sum().backward()
    assert free.grad is not None
    along = (free.grad * F.normalize(q, dim=1)).sum(1)
    return float(along.mean() / free.grad.norm(dim=1).mean())


def test_rotated_gradients_pull_latents_inward_where_cells_are_wide() -> None:
    """Copied gradients of a cell cancel where nothing is left to gain; rotated ones do not. docs/quantizers.md says what follows."""
    assert abs(mean_gradient_along_codewords(StraightThrough())) < 0.01
    assert mean_gradient_along_codewords(Rotation()) > 0.1
