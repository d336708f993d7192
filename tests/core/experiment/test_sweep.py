"""A sweep: one experiment for each class and seed, and the interval over them."""

import json
from pathlib import Path

import pytest

from bu_core.experiment.sweep import sweep
from bu_core.unlearning import METHODS
from tests.helpers import wrecked

SMALL = {
    "shadow_models": 0,
    "methods": ["boundary_expanding"],
    "unlearning": {"boundary_expanding": {"epochs": 1}},
    "epochs": 1,
}


def test_a_sweep_runs_every_class_with_every_seed_and_goes_on_where_it_was(tmp_path: Path):
    said: list[str] = []
    given = SMALL | {"results_dir": str(tmp_path)}
    first = sweep("smoke", given, [3, "5"], [0, 1], said.append)
    assert [(run.config["forget_class"], run.config["seed"]) for run in first.runs] == [(3, 0), (5, 0), (3, 1), (5, 1)]
    fitted = [line.split(":")[0] for line in said if not line.startswith("run ")]
    assert sorted(fitted) == ["boundary_expanding"] * 4 + ["original"] * 2  # the classes of a seed share the original
    said.clear()
    again = sweep("smoke", given, [3, "5"], [0, 1], said.append)
    assert [line for line in said if not line.startswith("run ")] == []
    assert again == first
    content = json.loads((tmp_path / "sweep.json").read_text())
    assert content["runs"] == [run.as_json() for run in first.runs]
    assert content["summary"] == {
        method: {name: vars(found) for name, found in summary.items()} for method, summary in first.summary.items()
    }


def test_the_summary_is_over_the_runs(tmp_path: Path):
    found = sweep("smoke", SMALL | {"results_dir": str(tmp_path)}, [3, 5, 7], [0], lambda line: None)
    values = [run.methods["original"].accuracy["remain_test"] for run in found.runs]
    summary = found.summary["original"]
    assert summary["remain_test"].mean == pytest.approx(sum(values) / 3)
    assert set(summary) == {"remain_train", "forget_train", "remain_test", "forget_test", "asr", "seconds"}
    assert all(measure.half_width is not None for measure in summary.values())


def test_the_summary_of_a_method_that_diverged_in_one_run_is_over_the_others(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    """Whichever run it was, the first one too."""
    monkeypatch.setitem(METHODS, "wrecked", wrecked(lambda task: task.split.forget_class == 3))
    given = SMALL | {"results_dir": str(tmp_path), "methods": ["wrecked"], "unlearning": {}}
    found = sweep("smoke", given, [3, 5], [0], lambda line: None)
    assert [run.diverged for run in found.runs] == [["wrecked"], []]
    assert found.summary["wrecked"]["remain_test"].mean == pytest.approx(
        found.runs[1].methods["wrecked"].accuracy["remain_test"]
    )
    assert found.summary["wrecked"]["remain_test"].half_width is None, "one run is left"
    assert found.summary["original"]["remain_test"].half_width is not None
