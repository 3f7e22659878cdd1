"""How the rate adapts in the students' program, and with the one comparison repaired."""

import sys
from pathlib import Path

import pytest
import torch

sys.path.append(str(Path(__file__).resolve().parent.parent / "tools" / "benchmarks"))
from report_denoisers import LR, AdaptiveRates


def after(falls, repaired):
    """The rates of two networks whose errors fall by this much in every epoch."""
    rates = AdaptiveRates(2, repaired)
    for epoch in range(501):
        rates.step(torch.tensor([0.7, 0.5], dtype=torch.float64) - epoch * falls)
    return rates.rates.tolist()


def test_a_clear_fall_is_no_progress_until_it_is_repaired():
    assert after(1e-4, repaired=False) == pytest.approx([LR / 2, LR / 2])
    assert after(1e-4, repaired=True) == pytest.approx([1.1 * LR, 1.1 * LR])


def test_no_fall_halves_the_rate_down_to_one_millionth():
    for repaired in (False, True):
        assert after(0, repaired) == pytest.approx([LR / 2, LR / 2])
        rates = AdaptiveRates(1, repaired)
        for _ in range(500 * 20):
            rates.step(torch.tensor([0.5]))
        assert rates.rates.item() == pytest.approx(1e-6)


def test_the_best_epoch_is_one_that_is_clearly_better():
    rates = AdaptiveRates(1)
    assert [rates.step(torch.tensor([e])).item() for e in (0.5, 0.6, 0.5 - 1e-6, 0.4)] == [
        True,
        False,
        False,
        True,
    ]
