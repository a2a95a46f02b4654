"""The running means move by the rows that were hit, as the dense formula says."""

import pytest
import torch

from codec.quantizers import EMACodebook


@pytest.mark.parametrize("codes", [16, 5000])
def test_running_means_follow_the_dense_formula(codes: int) -> None:
    codebook = EMACodebook(codes, 8, decay=0.9)
    rows, sums, hits = codebook.rows.clone(), codebook.sums.clone(), codebook.hits.clone()
    for _ in range(3):
        z, chosen = torch.randn(300, 8), torch.randint(codes // 2, (300,))
        counts = codebook.learn(z, chosen)
        one_hot = torch.nn.functional.one_hot(chosen, codes).float()
        assert torch.equal(counts, one_hot.sum(0))
        sums = 0.9 * sums + 0.1 * one_hot.T @ z
        hits = 0.9 * hits + 0.1 * counts
        rows = torch.where(counts[:, None] > 0, sums / hits[:, None], rows)
    torch.testing.assert_close(codebook.rows, rows)
    assert torch.equal(codebook.rows[codes // 2 :], rows[codes // 2 :])


def test_an_empty_batch_leaves_the_codewords() -> None:
    codebook = EMACodebook(16, 8)
    rows = codebook.rows.clone()
    codebook.learn(torch.zeros(0, 8), torch.zeros(0, dtype=torch.int64))
    assert torch.equal(codebook.rows, rows)
