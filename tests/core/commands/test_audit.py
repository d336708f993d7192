"""Auditing models that a plain script trained: the one of the tutorial page, by the command of the tutorial page."""

import json
import os
import pickle
import re
import shutil
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file

from bu_core.__main__ import main
from bu_core.audits.ladder import RUNGS
from bu_core.commands import audit
from bu_core.config import Config
from tests.core.commands.page import API, COMMANDS

COMMAND = COMMANDS[0]
VERDICTS = {"like retrain", "still known", "no retrain given"}

pytestmark = pytest.mark.usefixtures("few_steps")


@pytest.fixture(scope="module")
def folder(trained: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with what the script of the page leaves."""
    return shutil.copytree(trained, tmp_path_factory.mktemp("outside"), dirs_exist_ok=True)


@pytest.fixture(scope="module")
def report(folder: Path) -> dict[str, Any]:
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        assert main(COMMAND) == 0
    return json.loads((folder / "report" / "audit.json").read_text())


def test_each_rung_has_its_numbers_and_a_verdict(report: dict[str, Any]):
    assert set(report["rungs"]) == set(RUNGS)
    assert set(report["left_out"]) == {"per_sample"}
    for rung in report["rungs"].values():
        assert rung["verdict"] in VERDICTS
        assert len(rung["retrain"]) == 2
        low, high = rung["range"]
        assert all(low <= value <= high for value in rung["retrain"])
        assert (rung["verdict"] == "like retrain") == (low <= rung["value"] <= high)
        assert rung["unit"] and rung["says"]
    assert report["forget_class"] == "4"


def test_the_original_knows_the_class_and_retrain_does_not(report: dict[str, Any]):
    output = report["rungs"]["output"]
    assert output["original"] > 90
    assert output["retrain"] == [0.0, 0.0]


def test_the_page_to_read_is_whole_and_loads_nothing(report: dict[str, Any], folder: Path):
    text = (folder / "report" / "audit.html").read_text()
    assert not re.search(r"https?://|<script|<link|@import|url\(", text)
    assert "prefers-color-scheme: dark" in text and "{" not in re.sub(r"<style>.*</style>", "", text, flags=re.DOTALL)
    assert all(rung["title"] in text and rung["says"] in text for rung in report["rungs"].values())
    assert "<td>% of D<sub>ft</sub></td>" in text and "D_f" not in text and "&lt;" not in text


def test_it_goes_on_where_it_was(
    report: dict[str, Any], folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
):
    """What was climbed is not climbed again: the same models, one Retrain fewer."""
    monkeypatch.chdir(folder)
    monkeypatch.setattr("bu_core.experiment.ladder.audits.climb", lambda *_: pytest.fail("climbed again"))
    place = COMMAND.index("retrain2.safetensors")
    assert main([*COMMAND[:place], *COMMAND[place + 1 :]]) == 0
    again = json.loads((folder / "report" / "audit.json").read_text())
    assert again["rungs"]["output"]["value"] == report["rungs"]["output"]["value"]
    assert again["rungs"]["probe"]["retrain"] == report["rungs"]["probe"]["retrain"][0]
    alone = again["rungs"]["neighbours"]
    assert (alone["retrain"], alone["verdict"]) == (None, "no retrain given") and alone["value"] > 0
    assert alone["says"].startswith("Without a second Retrain")
    said = capsys.readouterr().out
    assert "1 of 3: original" in said and "left out: per_sample" in said
    assert re.search(r"Threshold +[\d.]+ +[\d.]+ +[\d.]+ +% of D_ft", said)


def test_a_model_without_a_retrain_gets_numbers_and_no_verdict(
    report: dict[str, Any], folder: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.chdir(folder)
    experiment = audit.Given(
        Config.from_profile("digits", width=0.1, methods=[], results_dir=str(folder / "other")),
        {name: (f"--{name}", f"{name}.safetensors") for name in ("original", "unlearned")},
    )
    climb = audit.ladder.compute(experiment, "unlearned")
    alone = audit.reported(experiment, {"original": climb, "unlearned": climb})
    assert {rung["verdict"] for rung in alone["rungs"].values()} == {"no retrain given"}
    assert alone["rungs"]["neighbours"]["value"] is None
    assert alone["rungs"]["output"]["retrain"] is None
    assert audit.page(alone).count("Without a Retrain") == len(RUNGS)


def test_the_example_in_python_runs(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch):
    exec(compile(API, "page", "exec"), {})
    said = capsys.readouterr().out.splitlines()
    assert len(said) == len(RUNGS)
    assert said[0] == "Outputs like retrain" or said[0] == "Outputs still known"


class Evil:
    """What a hostile file would run when it is read."""

    def __reduce__(self) -> tuple[Any, ...]:
        return os.mkdir, ("ran",)


def changed(folder: Path, **changes: Any) -> None:
    state = load_file(folder / "unlearned.safetensors")
    save_file(
        {name: tensor for name, tensor in (state | changes).items() if tensor is not None}, folder / "bad.safetensors"
    )


@pytest.mark.parametrize(
    ("changes", "given", "says"),
    [
        (
            {"classifier.bias": torch.ones(7)},
            {},
            "--unlearned='bad.safetensors': has 7 classes, and the data have 10",
        ),
        ({"body.0.0.bias": torch.ones(8)}, {}, "body.0.0.bias has shape (8,)"),
        ({"body.0.0.bias": torch.full((9,), torch.inf)}, {}, "must hold finite numbers"),
        ({"body.0.0.bias": None}, {}, "lacks body.0.0.bias"),
        ({"extra": torch.ones(1)}, {}, "holds extra, which this model does not have"),
        ({"body.0.1.running_var": torch.full((9,), -1.0)}, {}, "its answers to the images are not finite numbers"),
        ({"classifier.weight": torch.full((10, 19), 3e38)}, {}, "its answers to the images are not finite numbers"),
        ({}, {"--unlearned": "none.safetensors"}, "--unlearned='none.safetensors': no such file"),
        ({}, {"--unlearned": "evil.pt"}, "--unlearned='evil.pt': cannot be read (UnpicklingError)"),
        ({}, {"--unlearned": "original.safetensors"}, "--unlearned='original.safetensors': holds the same as original"),
        ({}, {"--retrain": "original.safetensors"}, "--retrain='original.safetensors': holds the same as original"),
        ({}, {"--forget": "eleven"}, "--forget='eleven'"),
        ({}, {"--forget": "11"}, "--forget=11"),
        ({}, {"--retrain": "unlearned.safetensors"}, "--retrain='unlearned.safetensors': holds the same as unlearned"),
        ({}, {"--out": "."}, "--out='.': holds"),
        ({}, {"--out": "original.safetensors"}, "--out='original.safetensors': cannot be written"),
    ],
)
def test_what_cannot_be_is_refused_before_any_work(
    folder: Path,
    changes: dict[str, Any],
    given: dict[str, str],
    says: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    tmp_path: Path,
):
    monkeypatch.chdir(folder)
    monkeypatch.setattr(audit, "ladder", lambda *_: pytest.fail("work was begun"))
    changed(folder, **changes)
    (folder / "evil.pt").write_bytes(pickle.dumps(Evil()))
    options = {
        "--original": "original.safetensors",
        "--unlearned": "bad.safetensors",
        "--retrain": "retrain1.safetensors",
    }
    options |= {"--out": str(tmp_path / "out")} | (
        given if changes or given.get("--unlearned") else given | {"--unlearned": "unlearned.safetensors"}
    )
    assert main(["audit", "digits", "-p", "width", "0.1", *(word for pair in options.items() for word in pair)]) == 1
    error = capsys.readouterr().err
    assert says in error
    assert len(error.splitlines()) == 1
    assert not (folder / "ran").exists(), "what a pickle would run"


def test_a_request_for_more_than_a_class_is_audited_class_by_class(
    folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
):
    monkeypatch.chdir(folder)
    command = ["audit", "digits", "--original", "original.safetensors", "--unlearned", "unlearned.safetensors"]
    command += ["-p", "width", "0.1", "-p", "forget", "{share: 0.1}", "--out", str(tmp_path / "out")]
    assert main(command) == 1
    assert "audit asks about one class at a time; name it with --forget" in capsys.readouterr().err
