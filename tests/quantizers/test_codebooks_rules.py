"""Rules by which codewords move beside the optimiser, and transport between a batch and a codebook."""

import copy
import itertools

import pytest
import torch

from codec.quantizers import (
    AlternatingCodebook,
    AnchoredCodebook,
    Classifier,
    ClosestAnchor,
    CodeEntropy,
    Contrast,
    Cosine,
    DotProduct,
    EMACodebook,
    Euclidean,
    GradientCodebook,
    GumbelSoftmax,
    IndexBackpropagation,
    MaskedEuclidean,
    Orthogonality,
    ProbableAnchor,
    RandomAnchor,
    Rotation,
    SharedLinear,
    StraightThrough,
    Synchronised,
    Transport,
    VectorQuantizer,
    Wasserstein,
)
from codec.quantizers.codebooks.anchors import Anchor
from codec.quantizers.transport import potentials
from tests.quantizers.sources import best_error, clusters, fit, heavy_tailed, seeded


def test_every_rule_combines_with_every_distance_estimator_and_regulariser() -> None:
    rules = (EMACodebook, GradientCodebook, AnchoredCodebook, AlternatingCodebook)
    distances = (Euclidean, Cosine, DotProduct, Transport, lambda: MaskedEuclidean(16), lambda: Classifier(4, 16))
    estimators = (StraightThrough, Synchronised, Rotation, IndexBackpropagation, GumbelSoftmax)
    for rule, distance, estimator in itertools.product(rules, distances, estimators):
        regularisers = [CodeEntropy(), Contrast(), Orthogonality(), Wasserstein(16)]
        vq = VectorQuantizer(rule(16, 4), distance(), estimator(), regularisers)  # type: ignore[operator]
        z = torch.randn(40, 4, requires_grad=True)
        with torch.autocast("cpu", torch.bfloat16):
            out = vq(z)
            (out.vectors.square().sum() + torch.stack(list(out.losses.values())).sum()).backward()
        assert z.grad is not None, (rule, distance, estimator)
        assert torch.isfinite(z.grad).all(), (rule, distance, estimator)
        vq.eval()
        assert torch.equal(vq(z).vectors, vq.decode(vq.encode(z)))


def test_alternating_codewords_move_to_the_means_before_they_are_read() -> None:
    vq = VectorQuantizer(AlternatingCodebook(16, 4, rate=1.0))
    z = torch.randn(300, 4)
    codes = vq.encode(z)
    before = vq.codebook.vectors().detach().clone()
    out = vq(z)
    assert torch.equal(out.codes, codes)
    for code in range(16):
        mine = z[codes[:, 0] == code]
        wanted = mine.mean(0) if len(mine) else before[code]
        torch.testing.assert_close(vq.codebook.vectors()[code], wanted)
    torch.testing.assert_close(out.vectors, vq.codebook.vectors()[codes[:, 0]])
    assert float(out.losses["codebook"].detach()) < float((z - before[codes[:, 0]]).square().mean())


def test_alternating_moves_codewords_behind_a_map() -> None:
    vq = VectorQuantizer(AlternatingCodebook(16, 4, rate=1.0, parameterisation=SharedLinear(4)))
    vq.start(torch.randn(300, 4))
    z = torch.randn(300, 4)
    out = vq(z)
    code = int(out.codes.mode(0).values)
    torch.testing.assert_close(vq.codebook.vectors()[code], z[out.codes[:, 0] == code].mean(0), atol=1e-4, rtol=1e-4)
    with pytest.raises(ValueError, match="rate must lie"):
        AlternatingCodebook(16, 4, rate=0.0)


@pytest.mark.parametrize("anchor", [ClosestAnchor(), RandomAnchor(), ProbableAnchor()], ids=lambda a: type(a).__name__)
def test_unused_codewords_move_to_vectors_of_the_batch(anchor: Anchor) -> None:
    codebook = AnchoredCodebook(6, 2, anchor=anchor)
    codebook.rows.data.copy_(torch.tensor([[0.0, 0], [1, 0], [50, 0], [60, 0], [70, 0], [80, 0]]))
    codebook.hits.copy_(torch.tensor([3.0, 3.0, 0, 0, 0, 0]))
    vq, z = VectorQuantizer(codebook), 0.5 * torch.randn(40, 2)
    vq(z)
    rows = codebook.vectors().detach()
    assert torch.equal(rows[:2], torch.tensor([[0.0, 0], [1, 0]]))
    assert float(torch.cdist(rows[2:], z).min(1).values.max()) < 0.1  # exp(-0.001) of the way
    if isinstance(anchor, ClosestAnchor):
        assert len(torch.cdist(rows[2:], z).argmin(1).unique()) == 1


def test_transport_potentials_give_codes_their_shares() -> None:
    cost, shares = torch.rand(400, 12, generator=seeded(1)), torch.rand(12, generator=seeded(2)) + 0.1
    shares = shares / shares.sum()
    plan = ((potentials(cost, shares, 0.1, 30) - cost) / 0.1).softmax(1)
    torch.testing.assert_close(plan.mean(0), shares, atol=0, rtol=0.01)
    far = potentials(1e3 * cost, shares, 1e-2, 30)  # exp(-100 000) underflows; the potentials must not
    assert torch.isfinite(far).all()


def test_transport_leaves_a_start_in_which_nearest_stays_stuck() -> None:
    """OptVQ: with all codewords in one cluster, at least 95 % of the codes come into use."""
    source = clusters(4 * torch.randn(32, 4, generator=seeded(1)))
    usage = []
    for distance in (Euclidean(), Transport()):
        codebook = GradientCodebook(32, 4)
        vq = VectorQuantizer(codebook, distance)
        codebook.rows.data.normal_(std=0.1, generator=seeded(2)).add_(source(1, seeded(3)))
        optimizer, draws = torch.optim.Adam(vq.parameters(), 0.1), seeded(4)
        for _ in range(200):
            optimizer.zero_grad()
            vq(source(256, draws)).losses["codebook"].backward()
            optimizer.step()
        usage.append(fit(vq.eval(), source(4000, seeded(5)))[0])
    assert usage[0] < 0.7
    assert usage[1] > 0.95


def test_transport_is_for_training_only() -> None:
    vq, plain = (VectorQuantizer(GradientCodebook(32, 4), distance) for distance in (Transport(Cosine()), Cosine()))
    plain.load_state_dict(vq.state_dict())
    z = torch.randn(500, 4) + 2
    codes = vq(z).codes
    assert len(codes.unique()) > len(plain.encode(z).unique())
    assert torch.equal(vq.encode(z), plain.encode(z))
    assert torch.equal(vq.eval()(z).codes, plain.encode(z))
    assert vq.train()(z[:1]).codes.shape == (1, 1)


def test_wasserstein_weights_learn_the_sizes_of_clusters() -> None:
    """VQ-WAE: codewords at unequal clusters; their weights come within 10 % of the clusters' shares, all codes in use."""
    chances = torch.tensor([0.05, 0.1, 0.15, 0.2, 0.25, 0.25])
    source = clusters(3 * torch.randn(6, 4, generator=seeded(1)), 0.2, chances)
    wasserstein = Wasserstein(6, temperature=0.02)
    vq = VectorQuantizer(GradientCodebook(6, 4, kmeans_iterations=10), regularisers=[wasserstein])
    vq.start(source(4000, seeded(2)))
    optimizer, draws = torch.optim.Adam(vq.parameters(), 0.03), seeded(3)
    for step in range(300):
        optimizer.zero_grad()
        losses = vq(source(512, draws)).losses
        (losses["transport"] + 1e-3 * losses["weight_divergence"]).backward()
        optimizer.step()
        if step == 200:
            optimizer.param_groups[0]["lr"] = 0.003
    z = source(8000, seeded(5))
    codes = vq.eval().encode(z).flatten()
    found = torch.bincount(codes, minlength=6) / len(z)
    torch.testing.assert_close(wasserstein.weights().detach(), found, atol=0, rtol=0.1)
    assert (found > 0).all()
    assert fit(vq, z)[1] < 1.05 * best_error(z, 6)


def test_wasserstein_gradient_is_that_of_the_plan() -> None:
    """At the maximum the potentials count as constants: codeword k is pulled by its part of the plan."""
    z, e = torch.randn(200, 4), torch.randn(8, 4, requires_grad=True)
    term = Wasserstein(8, temperature=0.2, iterations=60)
    value = term(z, e, Euclidean())["transport"]
    (found,) = torch.autograd.grad(value, e)
    cost = torch.cdist(z, e.detach()).square()
    temperature = 0.2 * float((cost - cost.amin(1, keepdim=True)).mean())
    favour = potentials(cost, torch.full((8,), 1 / 8), temperature, 60)
    plan = ((favour - cost) / temperature).softmax(1) / len(z)
    wanted = 2 * (plan.sum(0)[:, None] * e.detach() - plan.T @ z) / z.shape[1]
    torch.testing.assert_close(found, wanted, atol=1e-4, rtol=1e-3)
    assert float(value.detach()) > 0


def test_a_resumed_codebook_does_the_same_as_one_that_ran_on() -> None:
    source = heavy_tailed(4)
    vq = VectorQuantizer(
        AnchoredCodebook(
            64, 4, anchor=RandomAnchor(), decay=0.8, parameterisation=SharedLinear(4), kmeans_iterations=2
        ),
        Transport(),
    )
    for step in range(3):
        vq(source(100, seeded(step)))
    other = VectorQuantizer(
        AnchoredCodebook(
            64, 4, anchor=RandomAnchor(), decay=0.8, parameterisation=SharedLinear(4), kmeans_iterations=2
        ),
        Transport(),
    )
    other.load_state_dict(copy.deepcopy(vq.state_dict()))
    for step in range(3, 6):
        z = source(100, seeded(step))
        assert torch.equal(vq(z).codes, other(z).codes)
    assert all(torch.equal(value, other.state_dict()[name]) for name, value in vq.state_dict().items())
