"""Attacks on single images, on models whose margins are drawn from Gaussians: alike, or with a leak planted."""

import math

import pytest
import torch
from torch import Tensor

from bu_core.audits.per_sample import CLIPPED, klom, log_posteriors, margins, rmia, u_lira

IMAGES, POPULATION = 40, 200


def drawn(models: int, shift: float = 0.0, spread: float = 1.0, seed: int = 0, images: int = IMAGES) -> Tensor:
    """Margins of so many models: of each image a mean of its own, the same for every seed, and `shift` on top."""
    means = torch.linspace(-3, 0, images, dtype=torch.float64)
    generator = torch.Generator().manual_seed(seed)
    return means + shift + spread * torch.randn(models, images, generator=generator, dtype=torch.float64)


def posteriors(margin: Tensor) -> Tensor:
    return torch.nn.functional.logsigmoid(margin)


def test_a_margin_is_the_log_odds_of_the_own_class():
    logits = torch.randn(3, 5, 4, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    labels = torch.tensor([0, 1, 2, 3, 0])
    own = torch.stack([logits.softmax(-1)[:, place, label] for place, label in enumerate(labels)], 1)
    torch.testing.assert_close(margins(logits, labels), (own / (1 - own)).log())
    torch.testing.assert_close(log_posteriors(logits, labels), own.log())
    assert margins(torch.full((1, 5, 4), torch.nan), labels).tolist() == [[-CLIPPED] * 5]


def test_u_lira_finds_a_leak_and_nothing_where_there_is_none():
    never = drawn(64, seed=1)
    assert u_lira(drawn(64, shift=8, seed=2), never).min() > 0.99
    assert abs(u_lira(drawn(64, seed=2), never).mean() - 0.5) < 0.02


def test_u_lira_finds_a_spread_that_a_mean_would_miss():
    """The same mean, and a tenth of the spread: it is likelier of the narrow Gaussian near its middle only."""
    assert u_lira(drawn(64, spread=0.1, seed=2), drawn(64, seed=1)).mean() > 0.85


def test_u_lira_is_the_auc_of_two_gaussians():
    """Two Gaussians of one spread, a deviation apart: the best attack has an AUC of Phi(1 / sqrt 2)."""
    found = u_lira(drawn(800, shift=1, seed=2), drawn(800, seed=1)).mean().item()
    assert found == pytest.approx((1 + math.erf(1 / 2)) / 2, abs=0.01)


def test_a_leak_in_one_image_is_found_in_that_one_alone():
    learned, never = drawn(64, seed=2), drawn(64, seed=1)
    learned[:, 7] += 8
    found = u_lira(learned, never)
    assert found[7] > 0.99
    assert abs(found[torch.arange(IMAGES) != 7].mean() - 0.5) < 0.02


def test_rmia_finds_a_leak_and_nothing_where_there_is_none():
    population = [posteriors(drawn(64, seed=seed, images=POPULATION)) for seed in (3, 4)]
    never = posteriors(drawn(64, seed=1))
    leaked, alike = (
        rmia(posteriors(drawn(64, shift=shift, seed=2)), never, (population[0], population[1])) for shift in (8, 0)
    )
    assert leaked.mean() > 0.95
    assert abs(alike.mean() - 0.5) < 0.03


def test_rmia_asks_what_is_likelier_than_the_population():
    """A model that is surer of all images alike remembers none of them."""
    population = (
        posteriors(drawn(64, shift=8, seed=3, images=POPULATION)),
        posteriors(drawn(64, seed=4, images=POPULATION)),
    )
    surer = rmia(posteriors(drawn(64, shift=8, seed=2)), posteriors(drawn(64, seed=1)), population)
    assert surer.max() < 0.5


def test_klom_of_one_distribution_vanishes_and_grows_with_a_shift():
    never = drawn(4000, seed=1)
    found = [klom(drawn(4000, shift=shift, seed=2), never).mean().item() for shift in (0, 0.5, 1, 2)]
    assert found[0] < 0.02
    assert found == sorted(found)
    assert found[1] == pytest.approx(0.125, abs=0.03), "of two Gaussians it is half the squared shift"
    assert klom(never, never).abs().max() < 1e-12


def test_klom_of_margins_apart_is_as_large_as_it_can_be():
    assert klom(torch.zeros(8, 1), torch.ones(8, 1)).item() == pytest.approx(math.log(1e5))
    assert klom(torch.zeros(8, 1), torch.zeros(8, 1)).item() == 0, "one value has no range"
