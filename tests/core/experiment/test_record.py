"""Reading a record: which run it belongs to, what is shown from it, and what is said where it lacks or is damaged."""

import json
import warnings
from pathlib import Path
from typing import Any

import pytest
import yaml

from bu_core.__main__ import main
from bu_core.config import Config
from bu_core.data import SPLITS
from bu_core.experiment import record
from bu_core.experiment.experiment import Experiment
from bu_core.experiment.metrics import metrics
from bu_core.experiment.record import DamagedRecordWarning, NotRecorded, Record
from bu_core.measures import accuracy
from bu_core.store import write_json
from tests.helpers import leave_record, quick_config, refusal

METHODS = ["retrain", "finetune"]


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Experiment:
    """An experiment that is measured, and recorded as `quick` beside its results."""
    results = tmp_path_factory.mktemp("made") / "results"
    experiment = Experiment(quick_config(results, methods=METHODS))
    metrics(experiment)
    leave_record(experiment, results.parent / "book" / "quick")
    return experiment


@pytest.fixture
def folder(made: Experiment, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A copy of the record, which a test may damage; no data set can be loaded."""
    root = tmp_path / "book" / "results"
    for path in (made.folder.parent / "book").rglob("*"):
        if path.is_file():
            there = root / path.relative_to(made.folder.parent / "book")
            there.parent.mkdir(parents=True, exist_ok=True)
            there.write_bytes(path.read_bytes())
    monkeypatch.setattr(record, "ROOT", root)
    monkeypatch.setattr("bu_core.experiment.experiment.load", lambda *_: pytest.fail("a record is shown without data"))
    return root / "quick"


def asked(tmp_path: Path, **changes: Any) -> Config:
    return quick_config(tmp_path / "results", **{"methods": METHODS} | changes)


def damaged(folder: Path) -> None:
    path = folder / "record.json"
    path.write_text(path.read_text().replace('"finetune"', '"retrain"'))


# --- which run ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "change",
    [
        {"device": "auto"},
        {"precision": "bf16"},
        {"results_dir": "other"},
        {"elsewhere": [{"seed": 1}, {"width": 0.2}]},
        {"beside": ["digits"]},
        {"replicates": "digits"},
        {"title": "Another title"},
        {"timing_runs": 3},
    ],
    ids=str,
)
def test_where_it_is_made_and_what_else_is_asked_makes_no_other_run(
    folder: Path, tmp_path: Path, change: dict[str, Any]
):
    """A profile that asks for more, or is called otherwise, is still shown from its record."""
    found = Record.find(asked(tmp_path, **change))
    assert found is not None
    assert found.folder == folder


@pytest.mark.parametrize(
    "change", [{"seed": 1}, {"forget_class": 3}, {"methods": ["retrain"]}, {"width": 0.2}], ids=str
)
def test_other_settings_are_another_run(folder: Path, tmp_path: Path, change: dict[str, Any]):
    assert Record.find(asked(tmp_path, **change)) is None


def test_a_data_folder_that_is_named_is_used(folder: Path, tmp_path: Path):
    assert Record.find(asked(tmp_path, data_dir=str(tmp_path))) is None


def test_the_records_of_the_project_belong_to_their_profiles():
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for found in record.records():
            config = Config.from_profile(found.folder.name)
            assert Record.find(config) == found


# --- what is shown --------------------------------------------------------------------------------------------------


def test_a_run_is_shown_as_it_was_measured(made: Experiment, folder: Path, tmp_path: Path):
    said: list[str] = []
    shown = Experiment(asked(tmp_path), said.append)
    one, other = metrics(made), metrics(shown)
    assert (other.dataset, other.environment, other.diverged) == (one.dataset, one.environment, one.diverged)
    for name in made.names:
        assert other.methods[name].attacks["own_outputs"] == one.methods[name].attacks["own_outputs"]
        assert other.methods[name].seconds == one.methods[name].seconds
        for part in SPLITS:  # float16 may tie what float32 told apart
            assert other.methods[name].accuracy[part] == pytest.approx(one.methods[name].accuracy[part], abs=0.2)
    assert (shown.device.type, shown.precision) == ("cpu", "fp32")
    assert said == []
    assert not list(shown.store.folder.glob("*.safetensors")), "everything came from the record"


def test_what_needs_the_images_says_so(folder: Path, tmp_path: Path):
    message = refusal(lambda: Experiment(asked(tmp_path)).split)
    assert message.startswith("data_dir: this needs the images of digits")


# --- what is missing or damaged -------------------------------------------------------------------------------------


def test_what_was_never_recorded_names_what_to_do(folder: Path, tmp_path: Path):
    experiment = Experiment(asked(tmp_path, elsewhere=[{"seed": 1}]))
    with pytest.raises(NotRecorded) as raised:
        experiment.variation(METHODS, seed=1).outputs("original")
    assert str(raised.value) == "outputs of original: not recorded in quick; name a data_dir to compute it"


@pytest.mark.parametrize(
    ("change", "state"), [(Path.unlink, "is missing"), (lambda p: p.write_bytes(b""), "is damaged")]
)
def test_what_is_gone_or_damaged_names_the_command_that_brings_it_back(
    folder: Path, tmp_path: Path, change: Any, state: str
):
    (path,) = (folder / "store").glob("outputs-finetune-*")
    change(path)
    with pytest.raises(NotRecorded) as raised:
        Experiment(asked(tmp_path)).outputs("finetune")
    message = str(raised.value)
    expected = f"outputs of finetune: book/results/quick/store/{path.name} {state}; "
    assert message == expected + "`git checkout -- book/results/quick` brings it back"
    assert Experiment(asked(tmp_path)).outputs("retrain"), "the rest is shown"


def test_on_the_command_line_it_is_one_line(folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    (path,) = (folder / "store").glob("attack-finetune-*")
    path.unlink()
    profile = tmp_path / "quick.yml"
    profile.write_text(yaml.safe_dump(asked(tmp_path).as_dict()))
    assert main(["run", str(profile)]) == 1
    error = capsys.readouterr().err
    assert error.startswith("Error: attack of finetune: book/results/quick/store/attack-finetune-")
    assert len(error.splitlines()) == 1


def test_a_message_names_a_folder_of_the_project_from_its_root(monkeypatch: pytest.MonkeyPatch):
    found = Record(record.ROOT / "lfw")
    assert found.shown == "book/results/lfw"


def test_a_damaged_record_of_another_run_is_a_warning_and_stops_nothing(folder: Path, tmp_path: Path):
    damaged(folder)
    with pytest.warns(DamagedRecordWarning) as warned:
        assert Record.find(asked(tmp_path)) is None
    (message,) = (str(each.message) for each in warned)
    mended = "`git checkout -- book/results/quick` brings it back"
    assert message == f"{folder / 'record.json'}: is damaged (its checksum differs); {mended}"


def test_a_damaged_record_does_not_hide_another(folder: Path, tmp_path: Path):
    other = folder.parent / "another"  # which is looked at first
    other.mkdir()
    (other / "record.json").write_text("{")
    with pytest.warns(DamagedRecordWarning, match="another/record.json: cannot be read"):
        found = Record.find(asked(tmp_path))
    assert found is not None
    assert found.folder == folder


def test_a_damaged_record_of_this_very_run_is_one_line(folder: Path, tmp_path: Path):
    """The folder of the results has its name, as each profile says."""
    damaged(folder)
    message = refusal(Experiment, asked(tmp_path, results_dir=str(tmp_path / "quick")))
    assert message.endswith("is damaged (its checksum differs); `git checkout -- book/results/quick` brings it back")


@pytest.mark.parametrize("content", ["", "[]", "null", '{"config": {}}', '"checksum"', "\ufeff{}", "[" * 100_000])
def test_whatever_stands_in_a_record_is_read_or_named(folder: Path, tmp_path: Path, content: str):
    (folder / "record.json").write_text(content)
    with pytest.warns(DamagedRecordWarning):
        assert Record.find(asked(tmp_path)) is None


@pytest.mark.parametrize("config", [None, [], {"no_such_setting": 1}, {"methods": "retrain"}, {"epochs": -1}], ids=str)
def test_a_record_whose_settings_cannot_be_is_named(folder: Path, tmp_path: Path, config: Any):
    """Though its checksum is right, as of a record that another version wrote."""
    content = json.loads((folder / "record.json").read_text()) | {"config": config}
    write_json(folder / "record.json", content | {"checksum": record.checksum(content)})
    with pytest.warns(DamagedRecordWarning):
        assert Record.find(asked(tmp_path)) is None


def test_a_recorded_file_that_was_damaged_is_not_taken_for_good(made: Experiment, folder: Path, tmp_path: Path):
    (path,) = (folder / "store").glob("outputs-finetune-*")
    content = bytearray(path.read_bytes())
    content[-1] ^= 1
    path.write_bytes(content)
    with pytest.raises(NotRecorded, match="is damaged"):
        Experiment(asked(tmp_path)).outputs("finetune")
    assert accuracy(made.outputs("finetune")["remain_test"]) > 0
