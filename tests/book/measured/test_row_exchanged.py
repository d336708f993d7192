"""The output row exchanged: whose it is then, and that the time to relearn follows it."""

from pathlib import Path

import torch

from bu_book.measured.row_exchanged import row_exchanged
from bu_core.models import build, with_rows
from tests.helpers import small_experiment


def test_the_row_alone_is_the_others():
    one, other = (build("allcnn", 1, 4, 0.05, seed=seed) for seed in (0, 1))
    changed = with_rows(one, other.classifier, (2,))
    for weight, own, theirs in zip(*(each.classifier.parameters() for each in (changed, one, other)), strict=True):
        assert torch.equal(weight[2], theirs[2]) and torch.equal(weight[[0, 1, 3]], own[[0, 1, 3]])
    assert all(torch.equal(*pair) for pair in zip(changed.body.parameters(), one.body.parameters(), strict=True))


def test_it_counts_the_steps_of_both(tmp_path: Path):
    experiment = small_experiment(tmp_path, methods=("retrain",))
    found = row_exchanged(experiment)
    assert found.original >= 0 and found.retrain >= 0
    assert row_exchanged(experiment) == found
