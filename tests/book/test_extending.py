"""The page on profiles, methods, figures, measurements and data sets of one's own: its examples run as printed."""

import importlib.util
import re
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest

from bu_book import chapters, page, style
from bu_book.chapters import attention, entropy, utility
from bu_core import data, unlearning
from bu_core.config import Config
from bu_core.experiment.experiment import Experiment
from bu_core.experiment.measurement import MEASUREMENTS
from bu_core.experiment.metrics import metrics
from bu_core.experiment.record import NotRecorded
from bu_core.unlearning import METHODS, UnlearningTask
from tests.helpers import refusal, small_experiment

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
    assert spec is not None and spec.loader is not None
    made = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(made)
    return made


@pytest.fixture
def shown(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """What a page shows as HTML."""
    found: list[str] = []
    monkeypatch.setattr(page, "_show", found.append)
    return found


# --- a profile ----------------------------------------------------------------------------------------------------


@pytest.mark.slow
def test_the_profile_runs(tmp_path: Path):
    path = tmp_path / "sevens.yml"
    path.write_text(example("yaml", "sevens"))
    found = metrics(Experiment(Config.from_profile(str(path), results_dir=str(tmp_path))))
    assert list(found.methods) == ["original", "retrain", "boundary_shrink", "boundary_expanding"]
    assert found.config["unlearning"]["boundary_shrink"]["batchnorm"] == "frozen"
    assert found.forgotten == "7"


# --- a method -----------------------------------------------------------------------------------------------------


@pytest.fixture
def cut(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The example of a method, in the register."""
    monkeypatch.setitem(METHODS, "cut", module(unlearning, "cut", example("python", "def cut"), tmp_path).cut)


def test_the_method_runs_beside_the_others_and_is_shown_by_its_title_and_colour(tmp_path: Path, cut: None):
    settings: dict[str, Any] = {"methods": ["retrain", "cut"], "shadow_models": 0, "results_dir": str(tmp_path)}
    measured = metrics(Experiment(Config.from_profile("smoke", **settings)))
    found = measured.methods["cut"]
    assert found.settings == {"depth": 100.0}
    assert found.accuracy["forget_train"] == found.accuracy["forget_test"] == 0
    assert found.accuracy["remain_train"] >= measured.methods["original"].accuracy["remain_train"]
    assert "Cut" in utility.table_1(measured).to_html()
    assert METHODS["cut"].colour.lower() in style.as_svg(entropy.curves(measured), "entropies").lower()


def test_its_setting_is_checked(tmp_path: Path, cut: None):
    message = refusal(Config.from_profile, "smoke", unlearning={"cut": {"depth": -1}})
    assert message.startswith("unlearning.cut.depth=-1.0: must be at least 0")


def test_the_page_names_everything_that_a_task_holds():
    told = set(re.findall(r"`task\.(\w+)", PAGE.read_text()))
    held = {name for name in (*UnlearningTask.__dataclass_fields__, *vars(UnlearningTask)) if not name.startswith("_")}
    assert held - told == {"checkpoint"}, "an interrupted fit goes on by itself"


# --- a figure and a measurement -------------------------------------------------------------------------------------


def test_the_figure_is_drawn_with_its_caption(tmp_path: Path, shown: list[str], monkeypatch: pytest.MonkeyPatch):
    given = vars(entropy) | {"PAPER": style.PAPER}
    exec(example("python", "def means"), given)
    monkeypatch.setattr(entropy, "means", given["means"], raising=False)
    opened = page.Page(Config.from_profile("smoke", results_dir=str(tmp_path), methods=["retrain"], shadow_models=0))
    exec(
        example("python", "page.figure("),
        {"page": opened, "entropy": entropy, "found": opened.measure(entropy.measure)},
    )
    assert "Filled: <i>D</i><sub>f</sub>" in shown[0]
    assert 'aria-label="Dot plot of the mean entropy' in shown[0]
    assert METHODS["retrain"].colour.lower() in shown[0].lower()


def test_the_measurement_is_computed_once_and_shown(tmp_path: Path, shown: list[str], monkeypatch: pytest.MonkeyPatch):
    made = module(chapters, "confidence", example("python", "def confidence"), tmp_path)
    monkeypatch.setattr(chapters, "confidence", made, raising=False)
    try:
        experiment = small_experiment(tmp_path)
        found = made.measure(experiment)
        assert set(found) == set(experiment.names)
        assert all(0 <= share <= 100 for each in found.values() for share in each.sure.values())
        monkeypatch.setattr(made.confidence, "compute", lambda *_, **__: pytest.fail("it is in the store"))
        monkeypatch.setattr(made.confidence, "constants", lambda: {"sure": 0.9})
        assert made.measure(small_experiment(tmp_path)) == found
        assert made.confidence.key(experiment, "retrain")["constants"] == {"sure": made.SURE}
        opened = page.Page(experiment.config)
        lines = example("python", "page.compare(").splitlines()
        code = "\n".join(line for line in lines if not line.startswith(("from bu_book.chapters", "page = ")))
        exec(code, {"page": opened, "confidence": made})
        assert f"{found['retrain'].sure['forget_train']:.1f}" in shown[0]
    finally:
        MEASUREMENTS.pop("confidence")


def test_a_record_says_that_it_lacks_the_measurement(tmp_path: Path):
    made = module(chapters, "confidence", example("python", "def confidence"), tmp_path)
    try:
        recorded = Experiment(Config.from_profile("lfw", results_dir=str(tmp_path)))
        with pytest.raises(NotRecorded, match="confidence of original: not recorded in lfw"):
            made.measure(recorded)
    finally:
        MEASUREMENTS.pop("confidence")


# --- a data set -----------------------------------------------------------------------------------------------------


@pytest.fixture
def shapes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The example of a data set, in its registers, and a folder of images for it: one bright third a class."""
    made = module(data, "shapes", example("python", "def shapes"), tmp_path)
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
    measured = metrics(experiment)
    assert min(measured.methods["original"].accuracy.values()) > 80
    assert measured.methods["retrain"].accuracy["forget_test"] == 0
    assert "paper, CIFAR-10" in utility.table_1(measured).to_html()
    assert attention.measure(experiment).region.name == "centre"


def test_without_its_folder_the_data_set_says_what_it_needs(shapes: Path):
    message = refusal(data.load, "shapes")
    assert message.startswith("data_dir: shapes has no download")
