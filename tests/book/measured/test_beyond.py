"""Several classes and single images: what is measured of them, against outputs whose memory is known."""

from pathlib import Path

import pytest
import torch
from torch import Tensor

from bu_book.measured import beyond
from bu_book.measured.beyond import requested
from bu_core.data import SPLITS
from bu_core.measures import Outputs
from tests.helpers import small_experiment


def says(sureness: Tensor, seed: int) -> Outputs:
    """Outputs of 300 images of 10 classes, all of them right, with a margin that is drawn around `sureness`."""
    generator = torch.Generator().manual_seed(seed)
    labels = torch.randint(10, (300,), generator=generator)
    logits = torch.rand(300, 10, generator=generator)
    margin = sureness + torch.rand(300, generator=generator)
    return Outputs(logits.scatter_add(1, labels[:, None], margin[:, None]), labels)


@pytest.mark.parametrize(("of_forgotten", "low", "high"), [(6.0, 0.99, 1.0), (2.0, 0.42, 0.58), (1.05, 0.0, 0.05)])
def test_planted_memory_is_found_and_none_is_not(of_forgotten: float, low: float, high: float):
    """D_f as sure as training data is told from D_ft, D_f like D_ft is not, and below both it is told the other way."""
    sureness = {"remain_train": 6.0, "remain_test": 2.0, "forget_train": of_forgotten, "forget_test": 2.0}
    said = {part: says(torch.tensor(sureness[part]), number) for number, part in enumerate(SPLITS)}
    found = beyond._remembered(said, 0)
    assert set(found.told_apart) == {"own_outputs", "confidence", "modified_entropy"}
    for estimate in found.told_apart.values():
        assert low <= estimate.value <= high
        assert estimate.low <= estimate.value <= estimate.high
    assert set(found.accuracy.values()) == {100.0}


def test_a_model_whose_outputs_are_not_finite_is_told_by_nothing():
    said = {part: says(torch.tensor(2.0), number) for number, part in enumerate(SPLITS)}
    said["forget_test"].logits[3, 3] = float("nan")
    assert beyond._remembered(said, 0).told_apart == {}


def test_every_request_is_measured_and_found_again(tmp_path: Path):
    base = small_experiment(tmp_path)
    for forget in ({"classes": [4, 7]}, {"share": 0.1, "seed": 1}, {"share": 0.5, "of": 4}):
        there = base.variation(["retrain", "boundary_shrink"], forget=forget)
        for model in there.names:
            found = requested(there, model)
            assert found.sizes == {part: len(getattr(there.split, part)) for part in SPLITS}
            assert found.before.accuracy.keys() == found.after.accuracy.keys() == set(SPLITS)
            assert requested(there, model) == found
    assert len(list((tmp_path / "store").glob("original-*"))) == 1, "one original serves them all"
