"""The page on profiles, methods and data sets of one's own: its examples run as they are printed."""

import importlib.util
import re
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest

import bu_core
from bu_book import figures
from bu_book.measurements import Measurements
from bu_core import data, unlearning
from bu_core.config import Config
from bu_core.experiment.experiment import Experiment
from bu_core.unlearning import METHODS, UnlearningTask
from tests.helpers import refusal

PAGE = Path(__file__).resolve().parents[2] / "book" / "extending.md"


def example(language: str, mark: str) -> str:
    """The one block of the page in a language that holds `mark`."""
    blocks = re.findall(rf"```{language}\n(.*?)```", PAGE.read_text(), re.S)
    (found,) = (block for block in blocks if mark in block)
    return found


def module(package: ModuleType, name: str, code: str, folder: Path) -> ModuleType:
    """Code, from a file of its own, as a module of a package."""
    path = folder / f"{name}.py"
    path.write_text(code)
    spec = importlib.util.spec_from_file_location(f"{package.__name__}.{name}", path)
    made = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(made)
    return made


def test_the_profile_runs(tmp_path: Path):
    path = tmp_path / "sevens.yml"
    path.write_text(example("yaml", "sevens"))
    experiment = Experiment(Config.from_profile(str(path), results_dir=str(tmp_path)))
    metrics = experiment.metrics()
    assert list(metrics["methods"]) == ["original", "retrain", "boundary_shrink", "boundary_expanding"]
    assert metrics["config"]["unlearning"]["boundary_shrink"]["batchnorm"] == "frozen"
    assert metrics["dataset"]["classes"][metrics["config"]["forget_class"]] == "7"


@pytest.fixture
def cut(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The example of a method, in the register."""
    monkeypatch.setitem(METHODS, "cut", module(unlearning, "cut", example("python", "def cut"), tmp_path).cut)


def test_the_method_runs_beside_the_others_and_is_shown(tmp_path: Path, cut: None):
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


@pytest.fixture
def shapes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The example of a data set, in its registers, and a folder of images for it: one bright third a class."""
    made = module(bu_core, "shapes", example("python", "def shapes"), tmp_path)
    monkeypatch.setitem(data.DATASETS, "shapes", None)  # so that what the page puts there is taken back
    exec(
        example("python", 'DATASETS["shapes"]'), {"DATASETS": data.DATASETS, "Source": data.Source} | vars(made)
    )  # fmt: skip
    generator = np.random.default_rng(0)
    labels = generator.integers(0, 3, 300)
    images = generator.integers(0, 100, (300, 12, 12, 1), dtype=np.uint8)
    for image, label in zip(images, labels, strict=True):
        image[4 * label : 4 * label + 4] += 120
    np.save(tmp_path / "images.npy", images)
    np.save(tmp_path / "labels.npy", labels)
    return tmp_path


def test_the_data_set_runs_and_is_shown(shapes: Path):
    settings: dict[str, Any] = {
        "dataset": "shapes", "data_dir": str(shapes), "forget_class": "square", "epochs": 6, "results_dir": str(shapes),
        "methods": ["retrain", "boundary_shrink"], "shadow_models": 0, "unlearning": {}, "lr": 0.05, "width": 0.25,
    }  # fmt: skip
    experiment = Experiment(Config.from_profile("smoke", **settings))
    metrics = experiment.metrics()
    accuracy = metrics["methods"]["original"]["accuracy"]
    assert min(accuracy.values()) > 80
    assert metrics["methods"]["retrain"]["accuracy"]["forget_test"] == 0
    assert "paper, CIFAR-10" in figures.utility_table(metrics).to_html()
    assert Measurements(experiment).attention()["region"]["name"] == "centre"


def test_without_its_folder_the_data_set_says_what_it_needs(shapes: Path):
    message = refusal(data.load, "shapes")
    assert message.startswith("data_dir: shapes has no download")
