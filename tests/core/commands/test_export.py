"""Exporting a model: what is in the folder is the model and its numbers, and the example in it loads them."""

import runpy
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml
from safetensors import safe_open
from safetensors.torch import load_file

from bu_core.__main__ import main
from bu_core.commands import export
from bu_core.config import Config
from bu_core.data import DATASETS, SPLITS
from bu_core.experiment import record
from bu_core.experiment.experiment import Experiment
from bu_core.experiment.metrics import evaluation
from bu_core.measures import accuracy
from bu_core.models import build
from tests.helpers import leave_record, small_experiment


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Experiment:
    return small_experiment(tmp_path_factory.mktemp("results"))


@pytest.fixture(scope="module")
def folder(made: Experiment, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("exported")
    export.write(made, "boundary_shrink", folder)
    return folder


def same_state_as_file(made: Experiment, name: str, folder: Path) -> bool:
    kept, model = load_file(folder / "weights.safetensors"), made.model(name).state_dict()
    return kept.keys() == model.keys() and all(torch.equal(kept[key], model[key].cpu()) for key in kept)


def test_the_weights_are_those_of_the_model(made: Experiment, folder: Path):
    assert same_state_as_file(made, "boundary_shrink", folder)
    with safe_open(folder / "weights.safetensors", framework="pt") as file:
        assert '"model": "allcnn"' in file.metadata()["bu_core"]


def test_the_card_has_the_numbers_of_the_model(made: Experiment, folder: Path):
    card = (folder / "README.md").read_text()
    assert "$" not in card
    for name, row in (("boundary_shrink", "boundary_shrink"), ("original", "original, for comparison")):
        numbers = " | ".join(f"{accuracy(found):.2f}" for found in made.outputs(name).values())
        assert f"| {row} | {numbers} |" in card
    images = len(made.outputs("original")["remain_train"].labels)
    after = evaluation(made, "boundary_shrink", images).accuracy
    assert f"| boundary_shrink, re-estimated | {' | '.join(f'{after[part]:.2f}' for part in SPLITS)} |" in card
    assert f"computed anew on {images:,} images" in card
    assert "0, 1, 2, 3, 4, 5, 6, 7, 8, 9" in card
    assert "| `boundary_shrink`, at its defaults but for epochs 2 |" in card
    found = attack_summary(made, "boundary_shrink"), attack_summary(made, "original")
    assert f"so of {found[0]} %" in card and f", and {found[1]} % with the original" in card
    assert "recognises people" not in card


def attack_summary(made: Experiment, name: str) -> str:
    return evaluation(made, name).attack.asr.shown(".1f")


@pytest.mark.parametrize(
    ("name", "forget", "title", "forgets"),
    [
        ("original", {}, "trained on all classes", "nothing; the other models of its run forget class 4"),
        ("retrain", {}, "trained without class 4", "class 4: 127 of 1,257 training images"),
        (
            "boundary_expanding",
            {"classes": [3, 5]},
            "made by Boundary Expanding to forget classes 3 and 5",
            "classes 3 and 5: 255 of 1,257 training images",
        ),
        (
            "boundary_expanding",
            {"share": 0.5, "of": 4, "seed": 0},
            "made by Boundary Expanding to forget 50 % of 4",
            "50 % of 4: 64 of 1,257 training images",
        ),
    ],
)
def test_the_card_says_how_the_model_came_to_be(
    name: str, forget: dict[str, Any], title: str, forgets: str, made: Experiment, tmp_path: Path
):
    experiment = made if not forget else small_experiment(made.folder, methods=[name], unlearning={}, forget=forget)
    export.write(experiment, name, tmp_path)
    card = (tmp_path / "README.md").read_text()
    assert f"\n# allcnn on digits, {title}\n" in card
    assert f"\n| forgets | {forgets} |\n" in card


def test_the_settings_are_a_profile_that_makes_the_same_model(made: Experiment, folder: Path, tmp_path: Path):
    config = Config.from_profile(str(folder / "config.yml"), device="cpu", results_dir=str(tmp_path))
    assert config.methods == ("boundary_shrink",)
    assert Experiment(replace(config, precision="fp32")).key("boundary_shrink") == made.key("boundary_shrink")
    assert not set(yaml.safe_load((folder / "config.yml").read_text())) & set(record.WHERE_MADE)


def test_the_example_loads_the_weights(made: Experiment, folder: Path, capsys: pytest.CaptureFixture[str]):
    example = folder / "load.py"
    assert len([line for line in example.read_text().splitlines() if line.strip()]) <= 13
    torch.manual_seed(0)
    loaded = runpy.run_path(str(example))
    torch.manual_seed(0)
    with torch.no_grad():
        answer = made.model("boundary_shrink").cpu()(torch.rand(1, 1, 8, 8))
    torch.testing.assert_close(loaded["logits"], answer)
    assert capsys.readouterr().out.strip() == str(answer.argmax(1).item())


def test_a_normalisation_that_is_no_part_of_the_weights_stands_in_the_example(made: Experiment, tmp_path: Path):
    """As that of ImageNet's means, which a state_dict does not hold."""
    other = made.fresh()
    other._models = {"original": build("allcnn", 1, 10, 0.1, 0).eval()}
    export.write(other, "original", tmp_path)
    assert "model.normalise" not in (tmp_path / "load.py").read_text(), "the usual one"
    other._models["original"].normalise([0.25], [0.5])
    export.write(other, "original", tmp_path)
    assert "model.normalise([0.25], [0.5])\nmodel.eval()" in (tmp_path / "load.py").read_text()


def test_people_have_no_names_and_the_card_warns(made: Experiment, tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    faces = made.fresh()
    faces.dataset = replace(made.dataset, name="faces", classes=tuple(f"Ann_{number}" for number in range(10)))
    export.write(faces, "boundary_shrink", tmp_path)
    texts = [(tmp_path / name).read_text() for name in ("README.md", "config.yml", "load.py")]
    assert "> **Warning.** This model recognises people." in texts[0]
    assert "person 5" in texts[0]
    assert not any("Ann_" in text for text in texts)
    assert b"Ann_" not in (tmp_path / "weights.safetensors").read_bytes()
    assert "warning" in capsys.readouterr().out


def test_original_and_retrain_of_a_record_need_no_data(
    made: Experiment, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
):
    own = replace(made.config, results_dir=str(tmp_path / "results"))
    (tmp_path / "own.yml").write_text(yaml.safe_dump(own.as_dict()))
    for name in made.names:
        made.weights(name), made.outputs(name), evaluation(made, name)
    leave_record(made, tmp_path / "book" / "own")
    monkeypatch.setattr(record, "ROOT", tmp_path / "book")
    in_folder = {"digits": replace(DATASETS["digits"], embedded=False)}  # as a data set that is read from a folder
    monkeypatch.setattr(export, "DATASETS", in_folder)
    monkeypatch.setattr("bu_core.experiment.experiment.load", lambda *_: pytest.fail("a record is shown without data"))
    for name in ("original", "retrain"):
        assert main(["export", str(tmp_path / "own.yml"), "--method", name, "--out", str(tmp_path / "out")]) == 0
        assert same_state_as_file(made, name, tmp_path / "out")
    capsys.readouterr()
    assert main(["export", str(tmp_path / "own.yml"), "--method", "random_labels", "--out", str(tmp_path / "x")]) == 1
    assert "name a data_dir to compute it" in capsys.readouterr().err


def test_what_a_record_of_the_digits_lacks_is_computed_from_them(
    made: Experiment, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    """They are at hand on every machine, so no folder has to be named."""
    own = replace(made.config, results_dir=str(tmp_path / "results"))
    (tmp_path / "own.yml").write_text(yaml.safe_dump(own.as_dict()))
    leave_record(made, tmp_path / "book" / "own")
    for file in (tmp_path / "book" / "own" / "store").glob("boundary_shrink-*"):
        file.unlink()
    monkeypatch.setattr(record, "ROOT", tmp_path / "book")
    out = tmp_path / "out"
    assert main(["export", str(tmp_path / "own.yml"), "--method", "boundary_shrink", "--out", str(out)]) == 0
    assert same_state_as_file(made, "boundary_shrink", out)


@pytest.mark.parametrize(
    ("method", "out", "says"),
    [
        ("shrink", "new", "--method='shrink': did you mean"),
        ("retrain", "file", "cannot be written"),
        ("retrain", "full", "holds other.txt; name a new folder"),
        ("retrain", "", "--out='': must name a path"),
    ],
)
def test_what_cannot_be_is_refused_before_any_work(
    method: str,
    out: str,
    says: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
):
    monkeypatch.setattr(export, "Experiment", lambda *_, **__: pytest.fail("work was begun"))
    (tmp_path / "file").touch()
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "other.txt").touch()
    assert main(["export", "smoke", "--method", method, "--out", str(tmp_path / out) if out else ""]) == 1
    out, error = capsys.readouterr()
    assert out == ""
    assert says in error
    assert len(error.splitlines()) == 1
