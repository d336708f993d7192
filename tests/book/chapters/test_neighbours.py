"""The search for neighbours, on linear models whose margins are known."""

import math
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from bu_book.chapters import neighbours
from bu_book.chapters.neighbours import (
    EPSILON_GRID,
    Neighbours,
    NeighbourSearch,
    Outcome,
    SearchResult,
    checks,
    compared,
    first_met,
    grid,
    measure,
    searched,
)
from bu_book.claims import CannotTest
from bu_book.measured.released import Differences
from bu_core.data import SPLITS, LabelledImages
from bu_core.experiment.experiment import Experiment
from bu_core.experiment.metrics import metrics
from bu_core.models import Classifier
from bu_core.results import pack, unpack
from tests.book.notebooks import templates
from tests.helpers import small_experiment

WALKS = {"fgsm": [1, 1.0], "pgd": [5, 0.3]}


def linear(weight: Tensor, bias: Tensor) -> Classifier:
    """Logits are weight @ (x - 1/2) + bias, for images of 2x2 pixels x in [0, 1]."""
    model = Classifier(nn.Flatten(), 4, len(weight))
    with torch.no_grad():
        model.classifier.weight.copy_(weight / 2)  # the model scales [0, 1] to [-1, 1]
        model.classifier.bias.copy_(bias)
    return model.eval()


def grey(*levels: int) -> LabelledImages:
    """Even images of class 0, each of its own level from 0 to 255."""
    images = torch.tensor(levels, dtype=torch.uint8)[:, None, None, None].expand(-1, 1, 2, 2).contiguous()
    return LabelledImages(images, torch.zeros(len(levels), dtype=torch.int64))


def found(model: Classifier, data: LabelledImages) -> dict[str, SearchResult]:
    return searched(model, data, "fp32", WALKS, EPSILON_GRID)[0]


def test_an_image_crosses_where_the_step_exceeds_its_margin():
    """Two classes whose logits differ by |4 (x - 1/2)| + b: a step of epsilon changes the difference by 4 epsilon."""
    weight = torch.tensor([[0.5] * 4, [-0.5] * 4])
    data = grey(*range(100, 156, 5))
    model = linear(weight, torch.tensor([0.7, 0.0]))
    level = data.images[:, 0, 0, 0] / 255
    needed = (4 * (level - 0.5) + 0.7) / 4  # the border lies this far away
    assert (needed > 0).all()
    named = found(model, data)
    for name in WALKS:
        for epsilon, row in zip(EPSILON_GRID, named[name].named, strict=True):
            assert torch.equal(row == 1, needed < epsilon), (name, epsilon)


@pytest.mark.parametrize("seed", range(3))
def test_the_crossing_rate_is_0_at_epsilon_0_and_never_falls_on_a_linear_model_of_two_classes(seed: int):
    generator = torch.Generator().manual_seed(seed)
    weight = torch.randn(2, 4, generator=generator)
    images = torch.randint(0, 256, (60, 1, 2, 2), dtype=torch.uint8, generator=generator)
    model = linear(weight, torch.zeros(2))
    with torch.no_grad():
        labels = model(images / 255).argmax(1)
    result = compared(found(model, LabelledImages(images, labels)), labels, 2)
    assert result.images == 60
    for name in WALKS:
        crossed = result.searches[name].crossed
        assert crossed[0] == 0
        assert crossed == sorted(crossed)
        assert crossed[-1] > 50


def test_the_label_of_one_step_on_a_linear_model_is_known_in_closed_form():
    """The step has the sign of sum_k p_k w_k - w_y, and the label is the best other class where it ends."""
    generator = torch.Generator().manual_seed(0)
    weight, bias = 3 * torch.randn(5, 4, generator=generator), torch.randn(5, generator=generator)
    images = torch.randint(60, 196, (40, 1, 2, 2), dtype=torch.uint8, generator=generator)
    model = linear(weight, bias)
    start = images.flatten(1).double() / 255
    logits = (start - 0.5) @ weight.T.double() + bias
    labels = logits.argmax(1)
    direction = (logits.softmax(1) @ weight.double() - weight[labels]).sign()
    named = found(model, LabelledImages(images, labels))
    for epsilon, row in zip(EPSILON_GRID, named["fgsm"].label, strict=True):
        ends = ((start + epsilon * direction).clamp(0, 1) - 0.5) @ weight.T.double() + bias
        expected = ends.scatter(1, labels[:, None], -torch.inf).argmax(1)
        assert torch.equal(row, expected), epsilon


def test_on_two_classes_several_steps_end_where_one_does():
    """The gradient keeps its sign, and five steps of 0.3 reach the edge."""
    model = linear(torch.tensor([[1.0, -1, 2, 1], [0.0, 1, -1, 0]]), torch.tensor([0.5, 0.0]))
    named = found(model, grey(100, 120, 140, 160))
    assert torch.equal(named["fgsm"].named, named["pgd"].named)


def test_a_search_is_timed_at_every_epsilon():
    _, seconds = searched(linear(torch.eye(4)[:2], torch.zeros(2)), grey(100), "fp32", WALKS, EPSILON_GRID)
    assert {name: len(runs) for name, runs in seconds.items()} == {"fgsm": 10, "pgd": 10}
    assert all(run > 0 for runs in seconds.values() for run in runs)


def test_the_class_met_first_by_hand():
    named = torch.tensor([[0, 0, 0, 2], [0, 1, 0, 2], [3, 2, 0, 2], [1, 2, 0, 1]])
    assert first_met(named, torch.zeros(4, dtype=torch.int64)).tolist() == [3, 1, -1, 2]


def rows(*first: list[int]) -> Tensor:
    """Given rows, the last of them up to the end of the grid."""
    return torch.tensor([*first, *[first[-1]] * (len(EPSILON_GRID) - len(first))])


PLANTED = {
    "fgsm": SearchResult(
        named=rows([0, 0, 0, 1], [0, 0, 0, 1], [1, 2, 0, 1]),
        label=rows([1, 1, 1, 1], [2, 1, 1, 1], [1, 2, 1, 1]),
    ),
    "pgd": SearchResult(
        named=rows([0, 0, 0, 1], [2, 0, 0, 1], [1, 2, 0, 1]),
        label=rows([1, 1, 1, 1], [2, 1, 1, 1], [1, 2, 2, 1]),
    ),
}


def test_the_comparison_by_hand():
    """Four images of class 0, the last of which the model names wrongly."""
    result = compared(PLANTED, torch.zeros(4, dtype=torch.int64), 3)
    one, several = result.searches["fgsm"], result.searches["pgd"]
    assert result.images == 3
    assert one.crossed[:3] == pytest.approx([0, 0, 200 / 3])
    assert several.crossed[:3] == pytest.approx([0, 100 / 3, 200 / 3])
    assert one.labels[1] == pytest.approx([0, 200 / 3, 100 / 3])
    assert result.any_met == pytest.approx(200 / 3), "one image meets no other class"
    assert result.met == [0, 0, 100], "the first image meets 2 before 1"
    assert one.met_first[:3] == [0, 50, 50]
    assert several.met_first[:3] == [0, 50, 50]
    assert result.agreement[:3] == pytest.approx([100, 100, 200 / 3])


def test_where_every_image_is_named_wrongly_there_is_nothing_to_count():
    wrong = {name: SearchResult(rows([1, 1]), rows([1, 1])) for name in WALKS}
    result = compared(wrong, torch.zeros(2, dtype=torch.int64), 3)
    assert result.images == 0
    assert all(math.isnan(value) for value in result.agreement + result.searches["fgsm"].crossed)


def test_the_grid_starts_at_0_and_holds_the_two_epsilons_in_question():
    assert EPSILON_GRID[0] == 0
    assert list(EPSILON_GRID) == sorted(EPSILON_GRID)
    assert {0.1, 0.25} <= set(EPSILON_GRID)
    assert grid(0.1) == list(EPSILON_GRID)
    assert grid(0.12) == sorted([*EPSILON_GRID, 0.12])


def test_what_a_search_found_is_kept_under_the_names_of_the_records():
    result = NeighbourSearch(PLANTED["fgsm"], PLANTED["pgd"], {"fgsm": [1.0], "pgd": [2.0]}, {"cpu": "planted"})
    packed = pack(result)
    assert packed.tensors.keys() == {"fgsm.named", "fgsm.label", "pgd.named", "pgd.label"}
    back = unpack(NeighbourSearch, packed.tensors, packed.facts)
    assert torch.equal(back.pgd.label, PLANTED["pgd"].label)
    assert (back.seconds, back.environment) == (result.seconds, result.environment)


# --- a run --------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def experiment(tmp_path_factory: pytest.TempPathFactory) -> Experiment:
    return small_experiment(tmp_path_factory.mktemp("results"), epochs=4)


@pytest.fixture(scope="module")
def measured(experiment: Experiment) -> Neighbours:
    return measure(experiment)


def test_an_experiment_compares_the_searches_and_what_comes_of_them(experiment: Experiment, measured: Neighbours):
    assert measured.epsilon == measured.epsilons[measured.own] == 0.1
    assert measured.steps == {"fgsm": 1, "pgd": 5}
    assert measured.images == 50
    assert len(measured.comparison.agreement) == len(measured.epsilons) == len(EPSILON_GRID)
    assert measured.comparison.agreement[0] == 100, "without a step there is nothing to disagree on"
    assert measured.seconds.keys() == measured.outcomes.keys() == {"fgsm", "pgd"}
    outcome = measured.outcomes["fgsm"]
    assert outcome is not None
    assert outcome.accuracy == metrics(experiment).methods["boundary_shrink"].accuracy


def test_the_same_is_found_again_but_for_the_seconds(measured: Neighbours, tmp_path: Path):
    again = measure(small_experiment(tmp_path, epochs=4))
    assert replace(again, seconds=measured.seconds) == measured


def test_the_epsilon_of_a_run_is_on_its_grid(tmp_path: Path):
    found = measure(small_experiment(tmp_path, unlearning={"boundary_shrink": {"epochs": 1, "epsilon": 0.12}}))
    assert found.epsilons[found.own] == 0.12
    assert len(found.epsilons) == len(EPSILON_GRID) + 1


def test_a_boundary_shrink_that_diverged_has_no_outcome(tmp_path: Path):
    unlearning = {"boundary_shrink": {"epochs": 2, "lr": 1e30}}
    found = measure(small_experiment(tmp_path, methods=("retrain", "boundary_shrink"), unlearning=unlearning))
    assert found.outcomes == {"fgsm": None, "pgd": None}
    table = neighbours.search_table(found).data
    assert set(table.iloc[:, 2:].to_numpy().ravel()) == {"–"}
    assert list(neighbours.at_own_epsilon(found).values())[:2] == ["<b>–</b>"] * 2, "the outcome stands first"


def test_one_step_is_enough_where_it_crosses_agrees_and_is_faster(measured: Neighbours):
    fine = [100.0] * len(measured.epsilons)
    searches = {name: replace(found, crossed=fine) for name, found in measured.comparison.searches.items()}
    enough = replace(
        measured,
        comparison=replace(measured.comparison, searches=searches, agreement=fine),
        seconds={"fgsm": 1.0, "pgd": 4.0},
    )
    assert [check.holds for check in checks(enough)] == [True, True, True]
    assert checks(enough)[2].measured == "4.00 times as fast"
    at_own = [89.0 if at == measured.own else 100.0 for at in range(len(fine))]
    others = replace(enough, comparison=replace(enough.comparison, agreement=at_own), seconds={"fgsm": 4.0, "pgd": 1.0})
    assert [check.holds for check in checks(others)] == [True, False, False]


def test_the_box_says_what_comes_of_each_search(measured: Neighbours):
    one, several = (measured.outcomes[name].accuracy for name in ("fgsm", "pgd"))
    words = templates("neighbours").in_short(measured, "confirmed")
    assert words.startswith("**Yes, for how much is forgotten.** With the labels") and (
        f"recognises {one['forget_train']:.1f} % of $D_f$; with those of several, {several['forget_train']:.1f} %"
        in words
    )
    diverged = replace(measured, outcomes={"fgsm": None, "pgd": measured.outcomes["pgd"]})
    assert words != (said := templates("neighbours").in_short(diverged, "not measured")) and "diverged" in said
    assert templates("neighbours").in_short(measured, "contradicted").startswith("**No.** ")


def test_the_page_weighs_the_labels_against_the_outcome(measured: Neighbours):
    def of(left: float, alike: float | None) -> Outcome:
        return Outcome(dict.fromkeys(SPLITS, 0.0) | {"forget_train": left}, alike)

    agreement = [60.0] * len(measured.epsilons)
    fixed = replace(
        measured,
        comparison=replace(measured.comparison, agreement=agreement),
        outcomes={"fgsm": of(5.2, 36), "pgd": of(4.8, 38)},
    )
    words = templates("neighbours").reading(fixed)
    assert f"moves each pixel by {255 * measured.epsilon:.0f} of its 255 levels. 40 of 100 images then" in words
    assert "differ by 0.4 points on $D_f$. So which of the classes near it" in words
    assert words.endswith("after one step, and 38 that after several. Neither search finds Retrain's labels.")
    apart = replace(fixed, outcomes={"fgsm": of(45.0, None), "pgd": of(5.0, None)})
    assert templates("neighbours").reading(apart).endswith("differ by 40.0 points on $D_f$.")
    assert templates("neighbours").reading(replace(fixed, outcomes={"fgsm": None, "pgd": None})) == ""


def test_the_figures_show_every_epsilon_and_every_class(measured: Neighbours):
    dear = replace(measured, classes=["a $ and a $", *measured.classes[1:]])
    panels = neighbours.labels_found(dear).axes[:2]
    assert [label.get_text() for label in panels[0].get_yticklabels()] == [f"{each:g}" for each in dear.epsilons]
    assert panels[1].get_xticklabels()[0].get_text() == r"a \$ and a \$"
    figure = neighbours.crossing(measured)
    left, right = figure.axes
    figure.draw_without_rendering()
    assert not any(axes.get_legend().get_window_extent().overlaps(axes.bbox) for axes in figure.axes)
    assert [line.get_label() for line in left.get_lines()[:2]] == ["one step (FGSM)", "several steps (PGD)"]
    assert list(right.get_lines()[2].get_ydata()) == measured.comparison.agreement


def test_the_released_code_is_compared_on_its_own_data_alone(tmp_path: Path):
    with pytest.raises(CannotTest, match="is for CIFAR-10"):
        neighbours.smaller_differences(small_experiment(tmp_path))
    column = neighbours.first_steps(Differences(1.04, 0.4, 60.0, 10.0, 4.96))
    assert list(column.values()) == ["1.0", "0.4", "10.0", "5.0", "60.0"]
    assert all("0.1" in row for row in list(column)[:2])
