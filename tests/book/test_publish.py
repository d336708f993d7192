"""A recorded run: small, without images, and shown as it was measured, without the data."""

import json
from pathlib import Path
from typing import Any

import papermill
import pytest
import torch
from safetensors.torch import load_file

from bu_book import build as book
from bu_book import publish
from bu_book.__main__ import main
from bu_book.build import TEMPLATES
from bu_book.measurements import Measurements
from bu_core import config, data
from bu_core.config import Config
from bu_core.data import SPLITS
from bu_core.experiment import record
from bu_core.experiment.experiment import Experiment, every_run
from bu_core.measures import accuracy
from tests.helpers import refusal

SETTINGS: dict[str, Any] = {
    "width": 0.1,
    "epochs": 2,
    "methods": ["retrain", "boundary_shrink", "boundary_expanding", "amnesiac"],
    "unlearning": {"boundary_shrink": {"epochs": 2}, "boundary_expanding": {"epochs": 2}, "amnesiac": {"epochs": 1}},
    "shadow_models": 2,
    "timing_runs": 1,
    "elsewhere": [{"model": "allcnn_groupnorm"}, {"forget_class": 1}],
    "sample_size": 50,
}


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Experiment:
    """An experiment that was recorded as `tiny` below a root of its own."""
    folder = tmp_path_factory.mktemp("made")
    experiment = Experiment(
        Config.from_mapping(SETTINGS | {"precision": "fp32", "results_dir": str(folder / "results")}), record=None
    )
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(record, "ROOT", folder / "book")
        publish.publish(experiment, "tiny", "the command")
    return experiment


@pytest.fixture
def no_data(made: Experiment, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The record is there and no data set can be loaded; returns the record's folder."""
    root = Path(made.config.results_dir).parent / "book"
    monkeypatch.setattr(record, "ROOT", root)
    monkeypatch.setattr("bu_core.experiment.experiment.load", lambda *_: pytest.fail("a record is shown without data"))
    return root / "tiny"


def shown(results: Path, **changes: Any) -> Experiment:
    return Experiment(Config.from_mapping(SETTINGS | {"results_dir": str(results)} | changes))


def test_a_record_shows_what_was_measured_and_computes_no_model(made: Experiment, no_data: Path, tmp_path: Path):
    lines: list[str] = []
    found = Experiment(Config.from_mapping(SETTINGS | {"results_dir": str(tmp_path)}), lines.append)
    assert found.record.folder == no_data
    one, other = made.metrics(), found.metrics()
    for name in made.names:
        for of in ("attack", "attack_shadow", "seconds", "recording", "environment", "settings"):
            assert other["methods"][name][of] == one["methods"][name][of], of
        for part in SPLITS:  # float16 may tie what float32 told apart
            assert other["methods"][name]["accuracy"][part] == pytest.approx(
                one["methods"][name]["accuracy"][part], abs=0.2
            )
    assert other["environment"] == one["environment"]
    assert other["dataset"] == one["dataset"]
    mine, theirs = Measurements(made).all(), Measurements(found).all()
    for name in ("timing", "parts", "parts_repeated", "audit", "curves", "variants", "elsewhere"):
        assert theirs[name] == mine[name], name
    assert theirs["attention"]["sets"]["forget_train"]["area"] == mine["attention"]["sets"]["forget_train"]["area"]
    assert theirs["neighbours"]["agreement"] == mine["neighbours"]["agreement"]
    assert lines == []
    assert not list((tmp_path / "store").glob("*.safetensors")), "everything came from the record"


def test_a_record_holds_no_image_and_no_weights_but_two(made: Experiment, no_data: Path):
    weights = []
    for path in (no_data / "store").glob("*.safetensors"):
        for name, tensor in load_file(path).items():
            assert tensor.dtype != torch.uint8 or tensor.dim() == 1, "labels alone are bytes"
            if "classifier.weight" in name:
                weights.append(path.name.split("-")[0])
    assert sorted(weights) == ["original", "retrain"]
    assert sum(path.stat().st_size for path in no_data.rglob("*") if path.is_file()) < publish.LIMIT


def test_the_recorded_weights_give_the_recorded_outputs(made: Experiment, no_data: Path, tmp_path: Path):
    found = shown(tmp_path)
    logits = found.model("original")(data.pixels(made.split.forget_test.images))
    torch.testing.assert_close(logits, found.outputs("original")["forget_test"].logits, atol=0.01, rtol=1e-3)


def test_a_record_says_how_it_was_made(made: Experiment, no_data: Path):
    content = json.loads((no_data / "record.json").read_text())
    assert content["command"] == "the command"
    assert content["environment"] == made.environment
    assert not set(record.WHERE_MADE) & set(content["config"])
    assert str(made.config.results_dir) not in (no_data / "record.json").read_text()


def test_what_did_not_change_is_recorded_byte_by_byte_as_before(made: Experiment, no_data: Path):
    def kept() -> dict[str, bytes]:
        return {path.name: path.read_bytes() for path in (no_data / "store").iterdir()}

    before = kept()
    damaged = min(before)
    (no_data / "store" / damaged).write_bytes(before[damaged][:-1])
    publish.publish(made, no_data.name, "the command")
    after = kept()
    assert after.keys() == before.keys()
    changed = [name for name in before if after[name] != before[name]]
    assert set(changed) <= {damaged}
    assert len(after[damaged]) == len(before[damaged]), "and what was damaged is whole again"


@pytest.mark.parametrize("change", [{"seed": 1}, {"forget_class": 3}, {"methods": ["retrain"]}])
def test_other_settings_are_another_run(no_data: Path, change: dict):
    assert record.Record.find(Config.from_mapping(SETTINGS | change)) is None


@pytest.mark.parametrize("change", [{"device": "cpu"}, {"precision": "bf16"}, {"results_dir": "elsewhere"}])
def test_where_it_is_shown_does_not_matter(no_data: Path, change: dict):
    assert record.Record.find(Config.from_mapping(SETTINGS | change)).folder == no_data


def test_a_data_folder_that_is_named_is_used(made: Experiment, no_data: Path, tmp_path: Path):
    assert record.Record.find(Config.from_mapping(SETTINGS | {"data_dir": str(tmp_path)})) is None


def test_what_needs_the_images_says_so(no_data: Path, tmp_path: Path):
    message = refusal(lambda: shown(tmp_path).split)
    assert message.startswith("data_dir: this needs the images of digits")


def test_a_record_that_grew_too_large_is_refused_and_the_old_one_stays(
    made: Experiment, no_data: Path, monkeypatch: pytest.MonkeyPatch
):
    before = sorted(path.name for path in no_data.rglob("*"))
    monkeypatch.setattr(publish, "LIMIT", 1000)
    assert "allowed: 1,000" in refusal(publish.publish, made, "tiny", "another command")
    assert sorted(path.name for path in no_data.rglob("*")) == before
    assert record.recorded() == ["tiny"]


def test_the_command_records_a_profile(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture):
    monkeypatch.setattr(record, "ROOT", tmp_path / "book")
    monkeypatch.setattr(config, "PROFILES", tmp_path)
    given = SETTINGS | {"methods": ["retrain"], "elsewhere": [], "precision": "fp32"}
    (tmp_path / "mine.yml").write_text(json.dumps(given))
    command = ["record", "mine", "-p", "results_dir", str(tmp_path / "results")]
    assert main(command) == 0
    content = json.loads((tmp_path / "book" / "mine" / "record.json").read_text())
    assert content["config"]["methods"] == ["retrain"]
    assert content["command"] == "make reference PROFILE=mine"
    assert record.Record.find(Config.from_profile("mine")) is not None
    capsys.readouterr()
    assert main([*command, "-p", "seed", "1"]) == 1
    assert capsys.readouterr().err.startswith("Error: -p='seed'")


def test_what_the_book_shows_without_being_told_is_recorded_or_needs_no_data():
    assert set(book.SHOWN) - set(record.recorded()) == {"digits"}


def test_every_recorded_run_of_the_repository_is_that_of_its_profile():
    for name in record.recorded():
        found = record.Record.find(Config.from_profile(name))
        assert found is not None, f"profile {name} has changed since it was recorded"
        assert found.folder.name == name
        assert sum(path.stat().st_size for path in found.folder.rglob("*") if path.is_file()) < publish.LIMIT


@pytest.mark.parametrize("name", record.recorded())
def test_a_recorded_run_is_shown_without_the_data(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("bu_core.experiment.experiment.load", lambda *_: pytest.fail("a record is shown without data"))
    lines: list[str] = []
    experiment = Experiment(Config.from_profile(name, results_dir=str(tmp_path)), lines.append)
    metrics, measured = experiment.metrics(), Measurements(experiment).all()
    assert list(metrics["methods"]) == list(experiment.names)
    assert accuracy(experiment.outputs("retrain")["forget_train"]) == 0
    assert measured["timing"]["methods"]["retrain"]["speed_up"] == 1
    assert lines == [], "nothing is computed"


def test_a_page_compares_every_recorded_run_and_its_own(made: Experiment, no_data: Path, tmp_path: Path):
    here = str(tmp_path / "page")
    recorded = Experiment(Config.from_mapping(SETTINGS | {"results_dir": here}))
    assert list(every_run(recorded)) == [no_data.name], "the page's own run is the recorded one"
    assert list(every_run(made)) == [no_data.name, "this page"], "this one was computed and not found in a record"
    run = every_run(made)[no_data.name]
    assert run.numbers()["methods"]["retrain"]["accuracy"] == recorded.numbers()["methods"]["retrain"]["accuracy"]
    assert not (tmp_path / "page" / "metrics.json").exists(), "a look at another run leaves nothing"


def test_the_chapters_run_on_a_record(no_data: Path, tmp_path: Path):
    given = SETTINGS | {"results_dir": str(tmp_path / "results")}
    (tmp_path / "sitecustomize.py").write_text(
        "from pathlib import Path\n\nfrom bu_core.experiment import record\n\n"
        f"record.ROOT = Path({str(no_data.parent)!r})\n"
    )
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PYTHONPATH", str(tmp_path))
        for name in ("attention", "decision_space", "audit"):
            papermill.execute_notebook(TEMPLATES[name], tmp_path / "out.ipynb", given, progress_bar=False)
    assert not list((tmp_path / "results" / "store").glob("original-*"))
