"""The square: its points, its maps, and the steps that are drawn on it, which run with other parameters too."""

import ast
import re
from pathlib import Path

import nbformat
import papermill
import pytest
import torch

from bu_book.build import STEPS
from bu_book.steps import drawings, toy
from bu_core.data import pixels
from bu_core.training import predict
from bu_core.unlearning import METHODS, UnlearningTask, method_settings
from bu_core.unlearning.boundary_shrink import cross_samples, crossed_logits, nearest_incorrect
from tests.helpers import refusal, same_state


@pytest.fixture(scope="module")
def square() -> UnlearningTask:
    return toy.learned(epochs=15)


def test_the_points_lie_around_their_centres():
    images, labels = toy.points(noise=0.05, per_class=500, seed=0)
    for label, centre in enumerate(toy._CENTRES):
        found = images[labels == label, 0, 0] / 255
        assert found.mean(0) == pytest.approx(centre, abs=0.01)
        assert found.std(0) == pytest.approx([0.05, 0.05], abs=0.01)


def test_the_same_seed_gives_the_same_network(square: UnlearningTask):
    assert same_state(square.original, toy.learned(epochs=15).original)
    assert not same_state(square.original, toy.learned(epochs=15, seed=1).original)


def test_it_learns_and_retrain_never_gives_the_middle(square: UnlearningTask):
    assert toy.accuracy(square.original, square.split.forget_test) > 60
    assert toy.accuracy(METHODS["retrain"](square), square.split.forget_train) == 0


def test_the_map_says_what_the_network_says(square: UnlearningTask):
    classes, probability = toy.regions(square.original)
    for column, row in ((0, 0), (40, 120), (80, 80), (159, 30)):
        x, y = (round(255 * step / (toy.GRID - 1)) for step in (column, row))
        image = torch.tensor([x, y], dtype=torch.uint8)[None, :, None, None]
        given = predict(square.original, image, "fp32").softmax(1)[0]
        assert classes[row, column] == given.argmax()
        assert probability[row, column] == pytest.approx(given.max().item(), abs=1e-5)


def test_a_step_has_its_length_and_the_search_mostly_finds_the_nearest_region(square: UnlearningTask):
    forget = square.split.forget_train
    crossed = cross_samples(square.original, pixels(forget.images), forget.labels, 0.15, "fp32")
    moved = (crossed - pixels(forget.images)).abs()
    assert moved.max() <= 0.15 + 1e-6
    assert moved.median() == pytest.approx(0.15, abs=1e-6)
    labels = nearest_incorrect(crossed_logits(square.original, forget, 0.05, "fp32"), forget.labels)
    nearest = toy.nearest_region(square.original, forget)
    assert (nearest != toy.FORGOTTEN).all()
    assert (labels == nearest).float().mean() > 0.7


@pytest.mark.parametrize(
    ("given", "message"), [({"noise": 2}, "parameters.noise"), ({"epoch": 3}, "did you mean"), ({"lr": 0}, "above 0")]
)
def test_a_parameter_that_cannot_be_is_refused(given: dict, message: str):
    assert message in refusal(toy.learned, **given)


def test_a_slow_method_starts_at_the_original_and_ends_where_the_method_does(square: UnlearningTask):
    given = {"epochs": 3, "lr": 0.003, "epsilon": 0.15}
    models = toy.epochs_of(square, "boundary_shrink", **given)
    assert len(models) == 4 and models[0] is square.original
    assert same_state(models[-1], METHODS["boundary_shrink"](square, **method_settings("boundary_shrink", given)))
    assert not same_state(models[1], models[2])


def test_a_shadow_class_is_there_until_it_is_pruned(square: UnlearningTask):
    *wide, last = toy.with_shadow(square, remaining=False, epochs=2, lr=0.003)
    assert [len(model.classifier.bias) for model in wide] == [6, 6, 6]
    given = {"epochs": 2, "lr": 0.003, "batchnorm": "frozen"}
    expected = METHODS["boundary_expanding"](square, **method_settings("boundary_expanding", given))
    assert same_state(last, expected)


def test_the_share_of_the_drift_leads_from_the_originals_statistics_to_the_models_own(square: UnlearningTask):
    model = toy.epochs_of(square, "boundary_shrink", epochs=2, lr=0.0)[-1]
    assert same_state(toy.drifted(model, square.original, 1.0), model)
    assert toy.frame(toy.drifted(model, square.original, 0.0)) == toy.frame(square.original) != toy.frame(model)


OTHERS = {
    "boundary": {"noise": 0.12},
    "crossing": {"epsilon": 0.05},
    "shrinking": {"lr": 0.01, "unlearning_epochs": 2},
    "expanding": {"lr": 0.05, "unlearning_epochs": 2},
    "drift": {"unlearning_epochs": 1},
    "privacy": {"epsilon": 0.3, "unlearning_epochs": 2},
    "lasting": {"unlearning_epochs": 2, "remaining": 40, "keep": 0.0},
}


@pytest.mark.book
@pytest.mark.parametrize("name", STEPS)
def test_a_step_runs_with_other_parameters(name: str, tmp_path: Path):
    given = {"seed": 2, "epochs": 5} | OTHERS[name]
    executed = papermill.execute_notebook(STEPS[name], tmp_path / "out.ipynb", given, progress_bar=False)
    assert executed.metadata.papermill.duration < 60
    noise = [o for cell in executed.cells for o in cell.get("outputs", []) if o.output_type in ("stream", "error")]
    assert noise == []


@pytest.mark.parametrize("name", STEPS)
def test_a_step_has_an_aim_a_time_questions_figures_findings_and_a_worked_exercise(name: str):
    cells = nbformat.read(STEPS[name], as_version=4).cells
    kinds = [tag for cell in cells for tag in cell.metadata.get("tags", [])]
    assert kinds.count("title") == kinds.count("objective") == 1
    (aim,) = (cell.source for cell in cells if "objective" in cell.metadata.get("tags", []))
    assert re.fullmatch(r"\*\*Aim:\*\* .+ \*\*Time:\*\* \d+ minutes\.", aim)
    assert {"question", "figure", "finding"} <= set(kinds)
    questions = [cell.source for cell in cells if "question" in cell.metadata.get("tags", [])]
    assert all("**Before you look" in question and "?" in question for question in questions)
    exercises = [cell.source for cell in cells if "{exercise}" in cell.source]
    assert exercises and all("{solution}" in each and ":class: dropdown" in each for each in exercises)
    worked = [each.split("{solution}")[1] for each in exercises]
    assert all(re.search(r"^1\. ", each, re.M) for each in worked), "in numbered steps"


@pytest.mark.parametrize("name", STEPS)
def test_every_figure_of_a_step_is_described(name: str):
    cells = nbformat.read(STEPS[name], as_version=4).cells
    drawn = ("drawings.show", "drawings.moving", "drawings.playground")
    calls = [
        node
        for cell in cells
        if cell.cell_type == "code"
        for node in ast.walk(ast.parse(cell.source))
        if isinstance(node, ast.Call) and ast.unparse(node.func) in drawn
    ]
    assert calls
    for call in calls:
        told = {word.arg: ast.literal_eval(word.value) for word in call.keywords if word.arg in ("caption", "alt")}
        assert len(told["caption"]) > 20
        assert "alt" not in told or len(told["alt"]) > 20
        assert "alt" in told or ast.unparse(call.func) != "drawings.show"


def test_the_steps_of_the_contents_are_those_that_there_are():
    contents = (Path(__file__).parents[3] / "book" / "_toc.yml").read_text()
    assert sorted(line.split("file: steps/")[1] for line in contents.splitlines() if "file: steps/" in line) == sorted(
        STEPS
    )


def test_frames_show_the_first_and_the_last(square: UnlearningTask):
    titles = [str(number) for number in range(12)]
    figure = drawings.frames([square.original] * 12, square.split.forget_train, titles)
    assert [axes.get_title() for axes in figure.axes] == ["0", "3", "6", "8", "11"]
