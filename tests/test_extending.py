"""The page on adding a method: its example runs as it is printed."""

import importlib.util
import re
from pathlib import Path
from typing import Any

import pytest

from bu_core import figures, unlearning
from bu_core.config import Config
from bu_core.experiment import Experiment
from bu_core.unlearning import METHODS, UnlearningTask

from .helpers import refusal

PAGE = Path(__file__).resolve().parent.parent / "book" / "extending.md"


@pytest.fixture
def cut(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The example, from a file of its own as a module of the package, and in the register."""
    code = next(block for block in re.findall(r"```python\n(.*?)```", PAGE.read_text(), re.S) if "def cut" in block)
    path = tmp_path / "cut.py"
    path.write_text(code)
    spec = importlib.util.spec_from_file_location(f"{unlearning.__name__}.cut", path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    monkeypatch.setitem(METHODS, "cut", module.cut)


def test_the_example_runs_beside_the_others_and_is_shown(tmp_path: Path, cut: None):
    settings: dict[str, Any] = {"methods": ["retrain", "cut"], "shadow_models": 0, "results_dir": str(tmp_path)}
    metrics = Experiment(Config.from_profile("smoke", **settings)).metrics()
    found = metrics["methods"]["cut"]
    assert found["settings"] == {"depth": 100.0}
    assert found["accuracy"]["forget_train"] == found["accuracy"]["forget_test"] == 0
    assert found["accuracy"]["remain_train"] >= metrics["methods"]["original"]["accuracy"]["remain_train"]
    assert "Cut" in figures.utility_table(metrics).to_html()
    figures.forgotten_and_kept(metrics)


def test_its_setting_is_checked(tmp_path: Path, cut: None):
    message = refusal(Config.from_profile, "smoke", unlearning={"cut": {"depth": -1}})
    assert message.startswith("unlearning.cut.depth=-1.0: must be at least 0")


def test_the_page_names_everything_that_a_task_holds():
    told = set(re.findall(r"`task\.(\w+)", PAGE.read_text()))
    held = {name for name in (*UnlearningTask.__dataclass_fields__, *vars(UnlearningTask)) if not name.startswith("_")}
    assert held - told == {"checkpoint"}, "an interrupted fit goes on by itself"
