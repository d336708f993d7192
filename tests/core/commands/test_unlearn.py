"""Making a model in a file forget: one that a plain script trained, by the command of the page; then its audit."""

import json
import shutil
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from bu_core.__main__ import main
from bu_core.commands import unlearn
from bu_core.config import Config
from bu_core.data import load, split
from bu_core.models import build
from bu_core.models.weights import load_whole
from bu_core.training import predict
from tests.core.commands.page import COMMANDS, PROFILE

UNLEARN, AUDIT = COMMANDS[1:]

pytestmark = pytest.mark.usefixtures("few_steps")


@pytest.fixture(scope="module")
def folder(trained: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with what the script of the page leaves, in which the command ran, from the profile of the page."""
    folder = shutil.copytree(trained, tmp_path_factory.mktemp("outside"), dirs_exist_ok=True)
    (folder / "digits-forget.yml").write_text(PROFILE)
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        assert main(UNLEARN) == 0
    return folder


def recognised(file: Path, which: str) -> float:
    model = build("allcnn", 1, 10, 0.1, seed=0)
    load_whole(model, "file", str(file))
    data = getattr(split(load("digits"), 4, torch.device("cpu")), which)
    return (predict(model, data.images, "fp32").argmax(1) == data.labels).double().mean().item()


def test_the_class_is_gone_and_the_others_are_kept(folder: Path):
    made = folder / "lasting.safetensors"
    assert recognised(folder / "original.safetensors", "forget_test") > 0.9
    assert recognised(made, "forget_test") == 0
    assert recognised(made, "remain_test") > recognised(folder / "original.safetensors", "remain_test") - 0.05
    assert (load_file(made)["classifier.weight"][4] == 0).all(), "the profile erases the output row"


def test_a_plain_script_loads_what_was_written(folder: Path):
    original, made = load_file(folder / "original.safetensors"), load_file(folder / "lasting.safetensors")
    assert {name: each.shape for name, each in made.items()} == {name: each.shape for name, each in original.items()}


def test_an_audit_follows(folder: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.chdir(folder)
    start, end = AUDIT.index("--retrain"), AUDIT.index("--out")  # the Retrains take longest, and are climbed elsewhere
    assert main([*AUDIT[:start], *AUDIT[end:]]) == 0
    rungs = json.loads((folder / AUDIT[-1] / "audit.json").read_text())["rungs"]
    assert rungs["reestimation"]["original"] > 90
    assert rungs["output"]["value"] == rungs["reestimation"]["value"] == 0


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"--method": "amnesiac"}, "--method='amnesiac': allowed:"),
        ({"--method": "boundary_shrnk"}, "did you mean 'boundary_shrink'"),
        ({"--weights": "none.safetensors"}, "--weights='none.safetensors': no such file"),
        ({"--out": "original.safetensors"}, "--out='original.safetensors': is there already"),
        ({"--out": "new.pt"}, "--out='new.pt': must end in .safetensors"),
        ({"--out": "original.safetensors/new.safetensors"}, "cannot be written"),
        ({"--forget": "eleven"}, "--forget='eleven'"),
        ({"--forget": "10"}, "--forget=10"),
        ({"-p": "width 0.2"}, "--weights='original.safetensors': body.0.0.weight has shape"),
    ],
)
def test_what_cannot_be_is_refused_before_any_work(
    folder: Path,
    change: dict[str, str],
    says: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
):
    monkeypatch.chdir(folder)
    monkeypatch.setattr(unlearn, "UnlearningTask", lambda *_: pytest.fail("work was begun"))
    options = {"--weights": "original.safetensors", "--out": "new.safetensors"} | change
    words = [word for option, value in options.items() for word in (option, *value.split(" "))]
    assert main(["unlearn", "digits-forget.yml", *words]) == 1
    error = capsys.readouterr().err
    assert says in error
    assert len(error.splitlines()) == 1
    assert not (folder / "new.safetensors").exists()


def test_a_model_that_diverged_is_not_written(
    folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
):
    monkeypatch.chdir(folder)
    given = ["unlearn", "digits-forget.yml", "--weights", "original.safetensors", "--out", "wrecked.safetensors"]
    assert (
        main([*given, "--method", "negative_gradient", "-p", "unlearning", "{negative_gradient: {lr: 1.0e+20}}"]) == 1
    )
    assert "--method='negative_gradient': diverged" in capsys.readouterr().err
    assert not (folder / "wrecked.safetensors").exists()


def test_the_profile_of_the_page_has_the_network_of_its_script(folder: Path):
    config = Config.from_profile(str(folder / "digits-forget.yml"))
    assert (config.dataset, config.width, config.epochs, config.lr) == ("digits", 0.1, 8, 0.05)
