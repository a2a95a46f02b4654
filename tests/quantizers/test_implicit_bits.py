"""Binary quantizers against what their papers claim: entropies, errors, coins."""

import copy
import math
from itertools import product
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from codec.quantizers import (
    BSQ,
    LFQ,
    Bernoulli,
    BitEntropy,
    Cosine,
    GradientCodebook,
    Grouped,
    Projected,
    VectorQuantizer,
)


def assignments(z: Tensor, inverse_temperature: float, amplitude: float) -> Tensor:
    """The softmax over all `2^L` codes, `(N, 2^L)`, in float64."""
    corners = amplitude * torch.tensor(list(product((-1.0, 1.0), repeat=z.shape[1])), dtype=torch.float64)
    return (2 * inverse_temperature * z.double() @ corners.T).softmax(1)


def entropy(p: Tensor) -> Tensor:
    return torch.special.entr(p).sum(-1)


@pytest.mark.parametrize(("inverse_temperature", "amplitude"), [(100, 1.0), (1, 6**-0.5), (8, 6**-0.5)])
def test_factorised_entropies_equal_the_softmax_over_all_codes(inverse_temperature: float, amplitude: float) -> None:
    z = F.normalize(torch.randn(300, 6), dim=1)
    p = assignments(z, inverse_temperature, amplitude)
    terms = BitEntropy(inverse_temperature, 6)(z, amplitude)
    assert float(terms["sample_entropy"]) == pytest.approx(float(entropy(p).mean()), abs=2e-6)
    assert float(terms["negative_codebook_entropy"]) == pytest.approx(-float(entropy(p.mean(0))), abs=2e-6)


def test_groups_of_bits_bound_the_codebook_entropy_from_above() -> None:
    z = F.normalize(torch.randn(2000, 6), dim=1)
    values = [-float(BitEntropy(4, bits)(z, 6**-0.5)["negative_codebook_entropy"]) for bits in (6, 3, 2, 1)]
    assert values == sorted(values)
    assert values[-1] - values[0] < 0.02
    dependent = torch.randn(2000, 1).expand(-1, 6)
    exact, bits = (-float(BitEntropy(100, g)(dependent, 1.0)["negative_codebook_entropy"]) for g in (6, 1))
    assert exact == pytest.approx(math.log(2), abs=0.1)
    assert bits == pytest.approx(6 * math.log(2), abs=0.1)


def test_entropy_of_18_bits_is_exact_without_all_scores() -> None:
    """Independent fair bits: the mean over N vectors has close to N different codes' worth of entropy."""
    z = torch.randn(500, 18, requires_grad=True)
    terms = BitEntropy(100, 18)(z, 1.0)
    assert -terms["negative_codebook_entropy"].item() == pytest.approx(math.log(500), rel=0.1)
    sum(terms.values(), z.new_zeros(())).backward()
    assert z.grad is not None
    assert torch.isfinite(z.grad).all()


def trained_bits(entropy_weight: float) -> tuple[Tensor, Tensor]:
    """Codes `(N, 1)` and bits `(N, 10)` of LFQ behind a trained map, of vectors with ten unequal directions."""
    torch.manual_seed(1)
    quantizer = Projected(32, LFQ(10, BitEntropy(10, 10))).train()
    mixing = torch.randn(10, 32) * torch.linspace(2, 0.3, 10)[:, None]
    quantizer.start(torch.randn(4096, 10) @ mixing)
    optimizer = torch.optim.Adam(quantizer.parameters(), 1e-2)
    for _ in range(120):
        z = torch.randn(512, 10) @ mixing
        out = quantizer(z)
        entropies = out.losses["sample_entropy"] + out.losses["negative_codebook_entropy"]
        loss = (out.vectors - z).square().mean() / 10 + 0.25 * out.losses["commitment"] + entropy_weight * entropies
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    codes = quantizer.eval().encode(torch.randn(20_000, 10) @ mixing)
    return codes, codes >> torch.arange(10) & 1


def test_entropy_losses_balance_bits_and_fill_the_codebook() -> None:
    """Ten bits: perplexity well above 600 of 1024, and higher than without the terms."""
    perplexities = []
    for weight in (0.2, 0.0):
        codes, bits = trained_bits(weight)
        hits = torch.bincount(codes.flatten(), minlength=1024) / len(codes)
        perplexities.append(float(entropy(hits).exp()))
        assert (2 * bits.float().mean(0) - 1).abs().max() < 0.2
    assert perplexities[0] > 1.2 * perplexities[1]
    assert perplexities[0] > 750


@pytest.mark.parametrize(("bits", "mean_error"), [(18, 0.61), (512, 0.635)])
def test_bsq_error_is_bounded_and_as_published(bits: int, mean_error: float) -> None:
    z = torch.randn(20_000 if bits < 100 else 2000, bits)
    squared = (BSQ(bits, digits_per_code=32)(z).vectors - F.normalize(z, dim=1)).square().sum(1)
    assert squared.max() <= 2 - 2 / math.sqrt(bits) + 1e-6
    assert float(squared.sqrt().mean()) == pytest.approx(mean_error, abs=0.01)
    if bits > 100:
        assert float(squared.mean()) == pytest.approx(2 - 2 * math.sqrt(2 / math.pi), abs=0.005)


def test_bsq_codes_ignore_the_length() -> None:
    z = torch.randn(100, 12)
    assert torch.equal(BSQ(12).encode(z), BSQ(12).encode(7 * z))


def test_coins_fall_as_loaded_in_training_and_stand_still_in_eval() -> None:
    quantizer = Bernoulli(4).train()
    logits = torch.tensor([-2.0, -0.5, 0.5, 2.0]).expand(20_000, 4)
    out = quantizer(logits)
    assert torch.equal(out.vectors, quantizer.decode(out.codes))
    torch.testing.assert_close(out.vectors.mean(0), torch.sigmoid(logits[0]), atol=0.015, rtol=0)
    assert quantizer.encode(logits).unique().tolist() == [0b1100]
    assert float(out.losses["binariness"]) == pytest.approx(
        float((torch.sigmoid(logits) * torch.sigmoid(-logits)).mean())
    )


def test_a_logit_receives_the_slope_of_its_coin() -> None:
    z, weights = torch.randn(30, 6, requires_grad=True), torch.randn(30, 6)
    (Bernoulli(6).train()(z).vectors * weights).sum().backward()
    p = torch.sigmoid(z.detach())
    torch.testing.assert_close(z.grad, weights * p * (1 - p))


def test_a_resumed_run_tosses_the_same_coins() -> None:
    quantizer, z = Bernoulli(8).train(), torch.randn(100, 8)
    first = quantizer(z).codes
    resumed = Bernoulli(8).train()
    resumed.load_state_dict(copy.deepcopy(quantizer.state_dict()))
    torch.rand(5)
    second = quantizer(z).codes
    assert torch.equal(resumed(z).codes, second)
    assert not torch.equal(first, second)


def test_coins_learn_to_be_sure_enough_for_eval() -> None:
    """Trained with draws, read without: the deterministic error is no larger (the published gap is below 0.3 dB)."""
    torch.manual_seed(2)
    quantizer = Projected(12, Bernoulli(10)).train()
    mixing = torch.randn(4, 12)
    optimizer = torch.optim.Adam(quantizer.parameters(), 2e-2)
    for _ in range(200):
        z = torch.randn(256, 4) @ mixing
        loss = (quantizer(z).vectors - z).square().mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    z = torch.randn(4000, 4) @ mixing
    errors = [(quantizer.train(mode)(z).vectors - z).square().mean().item() for mode in (True, False)]
    assert errors[1] < 10**0.03 * errors[0]
    bits = quantizer.encode(z) >> torch.arange(10) & 1
    assert ((bits.float().mean(0) - 0.5).abs() < 0.3).all()


def test_more_groups_on_spheres_err_less() -> None:
    """GSQ at one table size and D = 16: the error falls as groups are added."""
    errors = []
    for groups in (1, 2, 4):
        torch.manual_seed(0)
        table: Any = VectorQuantizer(GradientCodebook(256, 16 // groups, kmeans_iterations=5), Cosine())
        quantizer = Grouped(table, groups)
        z = F.normalize(torch.randn(2000, groups, 16 // groups), dim=-1).flatten(1)
        quantizer.start(z)
        errors.append((quantizer.eval()(z).vectors - z).square().sum(1).mean().item() / groups)
    assert errors == sorted(errors, reverse=True)
