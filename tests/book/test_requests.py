"""Every chapter where several classes or single images are forgotten: it says what was, or why it cannot."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import matplotlib.pyplot as plt
import pytest

from bu_book import chapters, movable
from bu_book.chapters import audit, decision_space, seeds, utility
from bu_book.claims import CLAIMS, NOT_MEASURED, CannotTest, judged
from bu_book.page import run_in_words
from bu_book.style import INK
from bu_book.variations import most_images
from bu_core.experiment.experiment import Experiment
from bu_core.experiment.metrics import metrics
from tests.helpers import small_experiment

CLASSES = {"classes": [4, 7]}
IMAGES = {"share": 0.1}
ABOUT_ONE_CLASS = (
    "index",
    "lasting",
    "deep",
)  # the opening page asks each question by itself, and says why there is no answer
ELSEWHERE = [{"seed": 1}, {"forget_class": 0}]


@pytest.fixture(scope="module", params=[CLASSES, IMAGES], ids=["classes", "images"])
def experiment(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Experiment:
    folder: Path = tmp_path_factory.mktemp("results")
    return small_experiment(folder, forget=request.param, epochs=1, elsewhere=ELSEWHERE)


def forgets(experiment: Experiment, request: Mapping[str, Any]) -> bool:
    return "classes" in experiment.config.forget if request is CLASSES else "share" in experiment.config.forget


@pytest.mark.slow
@pytest.mark.parametrize("name", [name for name in chapters.CHAPTERS if name not in ABOUT_ONE_CLASS])
def test_a_chapter_answers_for_a_request(experiment: Experiment, name: str):
    assert chapters.load()[name].measure(experiment) is not None


@pytest.mark.parametrize("name", [*ABOUT_ONE_CLASS, "climbed", "single_images", "coming_back"])
def test_what_asks_about_one_class_says_so_in_one_line(experiment: Experiment, name: str):
    others = {"climbed": audit.climbed, "single_images": audit.single_images, "coming_back": movable.coming_back}
    ask = others[name] if name in others else chapters.load()[name].measure
    with pytest.raises(CannotTest) as raised:
        ask(experiment)
    assert str(raised.value) == f"this asks about one class, and this run forgets {experiment.forgotten}"


def test_no_claim_of_the_paper_is_judged_on_it(experiment: Experiment):
    verdicts = judged(sorted(CLAIMS), experiment)
    assert {found.verdict for found in verdicts} == {NOT_MEASURED}
    assert all("this asks about one class" in found.reason for found in verdicts)


def test_a_page_says_what_was_forgotten(experiment: Experiment):
    called = "4 and 7" if forgets(experiment, CLASSES) else "10 % of all images"
    found = metrics(experiment)
    assert (experiment.forgotten, found.forgotten) == (called, called)
    assert f"to forget: **{called}**" in run_in_words(found).replace("&#45;", "-")
    assert found.forget_classes == experiment.forget_classes == ((4, 7) if forgets(experiment, CLASSES) else ())


def test_classes_that_are_forgotten_whole_are_bold_where_their_images_go(experiment: Experiment):
    figure = utility.destinations(metrics(experiment))
    weights = [label.get_fontweight() for label in figure.axes[0].get_xticklabels()]
    assert [place for place, weight in enumerate(weights) if weight == "bold"] == list(experiment.forget_classes)
    plt.close(figure)


def test_the_map_draws_each_circle_by_its_own_class(experiment: Experiment):
    space = decision_space.measure(experiment)
    own = experiment.outputs("original")["forget_train"].labels[experiment.sample("forget_train")]
    assert space.own.tolist() == own.tolist()
    assert INK not in space.colours
    figure = decision_space.decision_map(space)
    assert figure.legends[0].get_texts()[-1].get_text() == "its own class"
    plt.close(figure)
    assert "are still taken for their own class" in movable.travel(space).data


def test_other_classes_are_no_repeats_of_a_request(experiment: Experiment):
    found = seeds.measure(experiment)
    assert set(found.points["seeds"]["original"]) == {"seed 0", "seed 1"}
    assert found.points["classes"] == {}
    assert found.forgotten == experiment.forgotten


def test_reestimation_sees_what_remains(experiment: Experiment):
    assert most_images(experiment) == len(experiment.split.remain_train)
    there = experiment.variation(["boundary_shrink"], forget_class=0)
    assert most_images(experiment, there) == len(there.split.remain_train)
