"""A sweep: one experiment for each class and seed, and the interval over them."""

import json
from pathlib import Path

import pytest

from bu_core.experiment.sweep import interval, sweep

SMALL = {
    "shadow_models": 0,
    "methods": ["boundary_expanding"],
    "unlearning": {"boundary_expanding": {"epochs": 1}},
    "epochs": 1,
}


def test_the_interval_is_students():
    """Of 1, 2, 3: the deviation is 1, and the 97.5 % quantile of t with 2 degrees of freedom 4.3027 (tables)."""
    found = interval([1, 2, 3])
    assert found["mean"] == 2
    assert found["half_width"] == pytest.approx(4.3027 / 3**0.5, abs=1e-4)
    assert interval([7.0]) == {"mean": 7.0, "half_width": None}


def test_a_sweep_runs_every_class_with_every_seed_and_goes_on_where_it_was(tmp_path: Path):
    said: list[str] = []
    given = SMALL | {"results_dir": str(tmp_path)}
    first = sweep("smoke", given, [3, "5"], [0, 1], said.append)
    assert [(run["config"]["forget_class"], run["config"]["seed"]) for run in first["runs"]] == [
        (3, 0), (5, 0), (3, 1), (5, 1)
    ]  # fmt: skip
    fitted = [line.split(":")[0] for line in said if not line.startswith("run ")]
    assert sorted(fitted) == ["boundary_expanding"] * 4 + ["original"] * 2  # the classes of a seed share the original
    said.clear()
    again = sweep("smoke", given, [3, "5"], [0, 1], said.append)
    assert [line for line in said if not line.startswith("run ")] == []
    assert again["summary"] == first["summary"] == json.loads((tmp_path / "sweep.json").read_text())["summary"]


def test_the_summary_is_over_the_runs(tmp_path: Path):
    found = sweep("smoke", SMALL | {"results_dir": str(tmp_path)}, [3, 5, 7], [0], lambda line: None)
    values = [run["methods"]["original"]["accuracy"]["remain_test"] for run in found["runs"]]
    summary = found["summary"]["original"]
    assert summary["remain_test"]["mean"] == pytest.approx(sum(values) / 3)
    assert set(summary) == {"remain_train", "forget_train", "remain_test", "forget_test", "asr", "seconds"}
    assert all(measure["half_width"] is not None for measure in summary.values())
