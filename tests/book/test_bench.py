"""The benchmark compares like with like: the plain code computes what `bu_core` computes."""

import json
from pathlib import Path

import pytest
import torch

from bu_book import bench
from bu_book.__main__ import main
from bu_book.chapters.lasting import RECOMMENDED
from bu_core.training import predict
from bu_core.unlearning import METHODS, UnlearningTask, changed_settings
from bu_core.unlearning.boundary_shrink import crossed_logits, nearest_incorrect
from bu_core.unlearning.fisher import fisher_diagonal


def test_plain_fisher_is_the_same_diagonal(task: UnlearningTask):
    data = task.split.remain_train[torch.arange(5)]
    found, plain = fisher_diagonal(task.original, data, "model"), bench.plain_fisher(task.original, data)
    assert found.keys() == plain.keys()
    for name, value in plain.items():
        torch.testing.assert_close(found[name], value, rtol=1e-3, atol=1e-4 * value.max().item())


def test_plain_outputs_are_the_same(task: UnlearningTask):
    found, plain = bench._our_outputs(task), bench.plain_outputs(task)
    for part, outputs in plain.items():
        torch.testing.assert_close(found[part].logits, outputs.logits, rtol=1e-4, atol=1e-4)
        assert torch.equal(found[part].labels, outputs.labels)


def test_plain_shrink_gives_the_same_labels(task: UnlearningTask, monkeypatch: pytest.MonkeyPatch):
    """Where a cross sample crosses, equation 3 as it stands gives the label that `bu_core` finds."""
    given: list[torch.Tensor] = []

    def keep(model: torch.nn.Module, task: UnlearningTask, epochs: int, relabel: object) -> torch.nn.Module:
        data = task.split.forget_train
        given.append(relabel(bench.pixels(data.images), data.labels))
        return model

    monkeypatch.setattr(bench, "_plain_fit", keep)
    bench.plain_boundary_shrink(task, epochs=1)
    data = task.split.forget_train
    ours = nearest_incorrect(crossed_logits(task.original, data, 0.1, "fp32"), data.labels)
    crossed = given[0] != data.labels
    assert crossed.any()
    assert (given[0] == ours)[crossed].float().mean() > 0.9, "ours are kept in [0, 1], equation 2's are not"


def test_the_released_procedure_searches_in_every_step_and_fits(task: UnlearningTask):
    weights = {name: weight.clone() for name, weight in task.original.state_dict().items()}
    model = bench.released_boundary_shrink(task, epochs=4, lr=0.05)
    assert all(torch.equal(weights[name], weight) for name, weight in task.original.state_dict().items())
    images = task.split.forget_train.images
    assert (predict(model, images, "fp32").argmax(1) == task.split.forget_class).float().mean() < 0.5


def test_plain_expanding_forgets_as_ours_does(task: UnlearningTask):
    ours = METHODS["boundary_expanding"](task, epochs=5, lr=0.05)
    plain = bench.plain_boundary_expanding(bench.replace(task, recipe=bench.replace(task.recipe, lr=0.05)), 5)
    assert plain.classifier.weight.shape == ours.classifier.weight.shape
    images = task.split.forget_train.images
    for model in (ours, plain):
        assert (predict(model, images, "fp32").argmax(1) == task.split.forget_class).float().mean() < 0.5


def test_the_table_has_every_pair(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    for name, value in {"FORGET": 64, "EPOCHS": 1, "REPEATS": 1, "WIDTH": 0.05, "FISHER": 2}.items():
        monkeypatch.setattr(bench, name, value)
    found = bench.bench(tmp_path, lambda line: None)
    assert set(found["medians"]) == {
        "training, one epoch", "boundary_expanding", "boundary_shrink", "lasting", "retrain, one epoch", "fisher",
        "attack",
    }  # fmt: skip
    for name, both in found["medians"].items():
        if name not in ("lasting", "retrain, one epoch"):
            assert found["times faster than plain"][name] == both["plain"] / both["ours"]
    whole, faster = bench.RETRAIN_EPOCHS * found["medians"]["retrain, one epoch"]["ours"], "times faster than retrain"
    assert found[faster]["lasting"] == whole / found["medians"]["lasting"]["ours"]
    assert set(found[faster]) == {"boundary_shrink", "boundary_expanding", "lasting"}
    assert set(found["medians"]["boundary_shrink"]) == {"ours", "plain", "released"}
    assert list(found["times faster than released"]) == ["boundary_shrink"]
    assert json.loads((tmp_path / "bench.json").read_text())["medians"] == found["medians"]


def test_the_lasting_method_and_the_epoch_of_retrain_see_what_the_run_has(
    task: UnlearningTask, monkeypatch: pytest.MonkeyPatch
):
    """1,000 remaining images for 5,000 of D_f, and 45,000 in an epoch."""
    monkeypatch.setattr(bench, "FORGET", 5000)
    assert changed_settings("boundary_shrink", bench._lasting()) == RECOMMENDED.settings | {"output_row": "erased"}
    fitted = []
    monkeypatch.setattr(bench, "fit", lambda model, data, recipe, label: fitted.append((len(data), recipe.epochs)))
    bench._retrain_epoch(task)
    assert fitted == [(9 * len(task.split.forget_train), 1)]


def test_a_folder_that_cannot_be_is_refused_in_one_line_before_anything_runs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
):
    monkeypatch.setattr("bu_book.bench.bench", lambda folder, say: pytest.fail("ran"))
    (tmp_path / "file").touch()
    for folder, says in ((str(tmp_path / "file"), "cannot be written (File exists)"), ("", "must name a path")):
        assert main(["bench", "--output", folder]) == 1
        out, error = capsys.readouterr()
        assert out == ""
        assert error == f"Error: --output={folder!r}: {says}\n"


def test_it_goes_to_the_home_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    seen = []
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setattr(
        "bu_book.bench.bench",
        lambda folder, say: (
            seen.append(folder)
            or {"medians": {}, "times faster than plain": {}, "shrink over expanding": {"ours": 1, "plain": 1}}
        ),
    )
    assert main(["bench", "--output", "~/speed"]) == 0
    assert seen == [tmp_path / "speed"]
    assert seen[0].is_dir()
