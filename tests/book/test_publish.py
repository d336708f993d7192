"""A recorded run: small and without images, shown without the data, and added to without being made anew."""

import json
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import papermill
import pytest
import torch
from safetensors.torch import load_file

from bu_book import build, chapters, publish
from bu_book.__main__ import main
from bu_book.build import TEMPLATES
from bu_book.chapters import audit, timing, what_forgets
from bu_book.replicates import replicates, seen
from bu_core import config, data, training
from bu_core.config import Config, profiles
from bu_core.data import SPLITS
from bu_core.experiment import record
from bu_core.experiment.experiment import Experiment
from bu_core.experiment.metrics import metrics
from bu_core.experiment.record import NotRecorded, Record
from bu_core.measures import accuracy
from bu_core.results import as_json
from bu_core.store import read_any
from tests.helpers import refusal

pytestmark = pytest.mark.slow

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
        Config.from_mapping(SETTINGS | {"precision": "fp32", "results_dir": str(folder / "results")})
    )
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(record, "ROOT", folder / "book")
        publish.publish(experiment, "tiny", "the command")
    return experiment


@pytest.fixture
def root(made: Experiment, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Records are looked for where `tiny` lies; returns its folder."""
    folder = Path(made.config.results_dir).parent / "book"
    monkeypatch.setattr(record, "ROOT", folder)
    return folder / "tiny"


@pytest.fixture
def no_data(root: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The record is there and no data set can be loaded; returns the record's folder."""
    monkeypatch.setattr("bu_core.experiment.experiment.load", lambda *_: pytest.fail("a record is shown without data"))
    return root


def shown(results: Path, say: Any = lambda line: None, **changes: Any) -> Experiment:
    return Experiment(Config.from_mapping(SETTINGS | {"results_dir": str(results)} | changes), say)


# --- what a record shows --------------------------------------------------------------------------------------------


def test_a_record_shows_what_was_measured_and_computes_nothing(made: Experiment, no_data: Path, tmp_path: Path):
    lines: list[str] = []
    found = shown(tmp_path, lines.append)
    assert found.record is not None and found.record.folder == no_data
    one, other = metrics(made), metrics(found)
    for name in made.names:
        mine, theirs = one.methods[name], other.methods[name]
        for kind in ("own_outputs", "shadow_models"):  # whose scores are recorded
            assert theirs.attacks[kind] == mine.attacks[kind]
        assert (theirs.seconds, theirs.recording, theirs.settings) == (mine.seconds, mine.recording, mine.settings)
        for part in SPLITS:  # float16 may tie what float32 told apart
            assert theirs.accuracy[part] == pytest.approx(mine.accuracy[part], abs=0.2)
    assert other.environment == one.environment
    assert other.dataset == one.dataset
    for chapter in chapters.load().values():
        chapter.measure(found)
    for chapter in (timing, what_forgets, audit):
        assert as_json(chapter.measure(found)) == as_json(chapter.measure(made)), chapter.__name__
    assert lines == []
    assert not list((tmp_path / "store").glob("*.safetensors")), "everything came from the record"


def test_a_record_holds_no_image_and_no_weights_but_two(root: Path):
    weights = []
    for path in (root / "store").glob("*.safetensors"):
        for name, tensor in load_file(path).items():
            assert tensor.dtype != torch.uint8 or tensor.dim() == 1, "labels alone are bytes"
            if "classifier.weight" in name:
                weights.append(path.name.split("-")[0])
    assert sorted(weights) == ["original", "retrain"]
    assert sum(path.stat().st_size for path in root.rglob("*") if path.is_file()) < publish.LIMIT


def test_logits_take_two_bytes_and_labels_one(root: Path):
    (path,) = (root / "store").glob("outputs-retrain-*")
    found = {name.rsplit(".", 1)[-1]: tensor.dtype for name, tensor in load_file(path).items()}
    assert found == {"logits": torch.float16, "labels": torch.uint8}


def test_the_recorded_weights_give_the_recorded_outputs(made: Experiment, no_data: Path, tmp_path: Path):
    found = shown(tmp_path)
    logits = found.model("original")(data.pixels(made.split.forget_test.images))
    torch.testing.assert_close(logits, found.outputs("original")["forget_test"].logits, atol=0.01, rtol=1e-3)


def test_a_record_says_how_it_was_made(made: Experiment, root: Path):
    content = json.loads((root / "record.json").read_text())
    assert content["command"] == "the command"
    assert content["environment"] == made.environment
    assert not {*record.WHERE_MADE, *record.ASKED_FOR} & set(content["config"])
    assert str(made.config.results_dir) not in (root / "record.json").read_text()
    assert content["files"] == sorted(path.name for path in (root / "store").iterdir())
    assert content["checksum"] == record.checksum(content)


@pytest.mark.book
def test_the_chapters_run_on_a_record(no_data: Path, tmp_path: Path):
    given = SETTINGS | {"results_dir": str(tmp_path / "results")}
    (tmp_path / "sitecustomize.py").write_text(
        "from pathlib import Path\n\nfrom bu_core.experiment import record\n\n"
        f"record.ROOT = Path({str(no_data.parent)!r})\n"
    )
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PYTHONPATH", str(tmp_path))
        for name in ("attention", "audit"):
            papermill.execute_notebook(TEMPLATES[name], tmp_path / "out.ipynb", given, progress_bar=False)
    assert not list((tmp_path / "results" / "store").glob("*.safetensors"))


# --- what a record lacks --------------------------------------------------------------------------------------------


@pytest.fixture
def lost(root: Path) -> Iterator[Path]:
    """The file of Retrain's attack, which is put back afterwards."""
    (path,) = (root / "store").glob("attack-retrain-*")
    kept = path.read_bytes()
    yield path
    path.write_bytes(kept)


def test_a_file_that_is_gone_or_damaged_is_named_with_the_way_to_get_it_back(no_data: Path, lost: Path, tmp_path: Path):
    lost.write_bytes(lost.read_bytes()[:-5])
    with pytest.raises(NotRecorded, match=rf"attack of retrain: .*{lost.name} is damaged; `git checkout -- .*tiny`"):
        metrics(shown(tmp_path))
    lost.unlink()
    with pytest.raises(NotRecorded, match=rf"attack of retrain: .*{lost.name} is missing; `git checkout -- .*tiny`"):
        metrics(shown(tmp_path))


def test_a_recorded_attack_is_never_computed_again_from_16_bit_logits(
    root: Path, lost: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    lost.unlink()
    from bu_core.experiment import metrics as room

    monkeypatch.setattr(room, "from_own_outputs", lambda *_: pytest.fail("it was recorded"))
    with pytest.raises(NotRecorded):
        metrics(shown(tmp_path))


def test_a_new_variation_is_missing_by_itself_and_the_rest_is_shown(no_data: Path, tmp_path: Path):
    more = shown(tmp_path, elsewhere=[*SETTINGS["elsewhere"], {"seed": 1}])
    assert more.record is not None, "a line more in the profile leaves the record in place"
    found = what_forgets.measure(more)
    assert [run.forget_class for run in found.variations.runs] == ["4", "4", "1"]
    assert "seed 1" in " ".join(found.variations.gaps.not_recorded)


# --- adding to a record ---------------------------------------------------------------------------------------------


def kept(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in (folder / "store").iterdir()}


def test_a_record_is_added_to_and_what_it_held_stays_byte_for_byte(
    root: Path, tmp_path: Path, fits: list[str], monkeypatch: pytest.MonkeyPatch
):
    root = shutil.copytree(root, tmp_path / "records" / "tiny")
    monkeypatch.setattr(record, "ROOT", root.parent)
    before = kept(root)
    wider = SETTINGS | {"elsewhere": [*SETTINGS["elsewhere"], {"forget_class": 2}], "precision": "fp32"}
    another = Experiment(Config.from_mapping(wider | {"results_dir": str(tmp_path / "empty")}), extend=Record(root))
    publish.publish(another, root.name, "the command")
    after = kept(root)
    assert before.items() <= after.items()
    assert set(fits) == {"boundary_shrink", "boundary_expanding"}, "two methods for the new class, and nothing else"
    recorded = shown(tmp_path / "shown", elsewhere=wider["elsewhere"])
    assert what_forgets.measure(recorded).variations.runs[-1].forget_class == "2"


@pytest.fixture
def fits(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The labels of all fits but the throw-away ones."""
    labels: list[str] = []
    fit = training.fit

    def noted(*arguments: Any, label: str, **options: Any) -> None:
        if label != "warm-up":
            labels.append(label)
        fit(*arguments, label=label, **options)

    monkeypatch.setattr(training, "fit", noted)
    monkeypatch.setattr("bu_core.unlearning.task.fit", noted)
    return labels


def test_what_did_not_change_is_recorded_byte_for_byte_and_what_was_damaged_is_whole_again(
    made: Experiment, root: Path
):
    before = kept(root)
    damaged = min(name for name in before if name in {path.name for path in made.store.folder.iterdir()})
    (root / "store" / damaged).write_bytes(before[damaged][:-1])
    publish.publish(made, root.name, "the command")
    after = kept(root)
    assert after.keys() == before.keys()
    assert {name for name in before if after[name] != before[name]} <= {damaged}
    assert read_any(root / "store" / damaged)[1].facts is not None


def test_a_record_that_grew_too_large_is_refused_and_the_old_one_stays(
    made: Experiment, root: Path, monkeypatch: pytest.MonkeyPatch
):
    before = sorted(path.name for path in root.rglob("*"))
    monkeypatch.setattr(publish, "LIMIT", 1000)
    assert "allowed: 1,000" in refusal(publish.publish, made, "tiny", "another command")
    assert sorted(path.name for path in root.rglob("*")) == before
    assert [each.folder.name for each in record.records()] == ["tiny"]


def test_the_command_records_a_profile(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
):
    monkeypatch.setattr(record, "ROOT", tmp_path / "book")
    monkeypatch.setattr(config, "PROFILES", tmp_path)
    given = SETTINGS | {"methods": ["retrain"], "elsewhere": [], "precision": "fp32"}
    (tmp_path / "mine.yml").write_text(json.dumps(given))
    command = ["record", "mine", "-p", "results_dir", str(tmp_path / "results")]
    assert main(command) == 0
    content = json.loads((tmp_path / "book" / "mine" / "record.json").read_text())
    assert content["config"]["methods"] == ["retrain"]
    assert content["command"] == "make reference PROFILE=mine"
    assert Record.find(Config.from_profile("mine")) is not None
    capsys.readouterr()
    assert main([*command, "-p", "seed", "1"]) == 1
    assert capsys.readouterr().err.startswith("Error: -p='seed'")


# --- the records of the repository ------------------------------------------------------------------------------------

RECORDED = [each.folder.name for each in record.records()]
REPEATING = {Config.from_profile(name).replicates for name in profiles()} & set(RECORDED)

# Asked for since these runs were recorded; the pages say so.
NOT_YET_RECORDED = {"index", "lasting", "settings", "what_forgets"}


def test_what_the_book_shows_without_being_told_is_recorded():
    lead = Config.from_profile(build.LEAD)
    assert {build.LEAD, *lead.beside} <= set(RECORDED)


@pytest.mark.parametrize("name", RECORDED)
def test_a_recorded_run_is_that_of_its_profile_and_is_shown_without_the_data(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr("bu_core.experiment.experiment.load", lambda *_: pytest.fail("a record is shown without data"))
    lines: list[str] = []
    experiment = Experiment(Config.from_profile(name, results_dir=str(tmp_path)), lines.append)
    assert experiment.record is not None, f"profile {name} has changed since it was recorded"
    assert experiment.record.folder.name == name
    assert sum(path.stat().st_size for path in experiment.record.folder.rglob("*") if path.is_file()) < publish.LIMIT
    if name in REPEATING:
        assert accuracy_of_retrains(experiment) == {0}
        return
    assert list(metrics(experiment).methods) == list(experiment.names)
    assert accuracy(experiment.outputs("retrain")["forget_train"]) == 0
    missing = set()
    for chapter, module in chapters.load().items():
        try:
            module.measure(experiment)
        except NotRecorded:
            missing.add(chapter)
    assert missing <= NOT_YET_RECORDED
    assert lines == [], "nothing is computed"


def accuracy_of_retrains(experiment: Experiment) -> set[float]:
    """What the Retrains of a run that repeats another recognise of D_f, which is all that is asked of it here."""
    return {seen(run, "retrain").accuracy["forget_train"] for run in replicates(experiment).values()}


@pytest.mark.parametrize("name", RECORDED)
def test_every_file_of_a_record_is_whole(name: str):
    folder = record.ROOT / name
    assert Record(folder).content["files"] == sorted(path.name for path in (folder / "store").iterdir())
    for path in (folder / "store").iterdir():
        read_any(path)
