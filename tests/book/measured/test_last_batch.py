"""What a single step changes: it starts anew each time from one model, and leaves Retrain as it was."""

from pathlib import Path

import pytest

from bu_book.chapters import utility
from bu_book.claims import CannotTest
from bu_book.measured import last_batch as module
from bu_book.measured.last_batch import FEW, LastBatch, OneStep, last_batch
from bu_core.measures import accuracy
from tests.book.notebooks import templates
from tests.helpers import small_experiment


def test_single_steps_set_out_from_one_model(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    for name, count in (("LONGER", 2), ("FULL_DRAWS", 2), ("FEW_DRAWS", 3), ("STATISTICS_DRAWS", 2)):
        monkeypatch.setattr(module, name, count)
    experiment = small_experiment(tmp_path, methods=("retrain",))
    before = {name: tensor.clone() for name, tensor in experiment.model("retrain").state_dict().items()}
    found = last_batch(experiment)
    assert found.accuracy == accuracy(experiment.outputs("retrain")["remain_test"])
    assert [step.images for step in found.steps] == [64, 64, FEW, FEW, FEW]
    assert len(found.reestimated) == 2
    assert all(0 <= found.longer + step.changes <= 100 and step.loss > 0 for step in found.steps)
    after = experiment.model("retrain").state_dict()
    assert all(tensor.equal(after[name]) for name, tensor in before.items())


def test_without_a_rate_only_statistics_change(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """Of a network without BatchNorm nothing does, and no step on any batch changes an answer."""
    for name, count in (("LONGER", 1), ("FULL_DRAWS", 1), ("FEW_DRAWS", 2), ("STATISTICS_DRAWS", 1)):
        monkeypatch.setattr(module, name, count)
    found = last_batch(small_experiment(tmp_path, methods=("retrain",), model="allcnn_groupnorm", lr=1e-30))
    assert found.longer == found.accuracy and [step.changes for step in found.steps] == [0, 0, 0]
    assert found.reestimated == [found.accuracy]


PLANTED = LastBatch(
    80.0, 82.5, [82.0, 82.2], [OneStep(64, 0.01, 0.1), *(OneStep(FEW, loss, -loss) for loss in (0.05, 1.5, 0.2))]
)


def test_the_table_has_a_row_for_each_size_of_a_batch():
    table = utility.last_batch_table(PLANTED).data
    assert table.index.tolist() == ["64 images", "8 images"] and table["draws"].tolist() == ["1", "3"]
    assert table.iloc[:, 2].tolist() == ["+0.10 to +0.10", "-1.50 to -0.05"]
    words = templates("utility").last_batch(PLANTED)
    assert "80.00 % of $D_{rt}$ as it ended, and 82.10 %" in words and "up to 1.5 points of it. So" in words


def test_a_run_that_no_record_keeps_is_not_asked(tmp_path: Path):
    with pytest.raises(CannotTest, match="Retrain was not run"):
        utility.one_step_more(small_experiment(tmp_path, methods=("boundary_shrink",)), everything=True)
    with pytest.raises(CannotTest, match="on the recorded runs"):
        utility.one_step_more(small_experiment(tmp_path))
