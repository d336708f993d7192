"""What is remembered of several classes and of single images, told from planted results and from a small run."""

from pathlib import Path
from typing import Any

import matplotlib.pyplot as plt
import pytest

from bu_book.chapters import beyond
from bu_book.chapters.beyond import LASTING, Asked, Beyond, difference
from bu_book.gaps import Gaps
from bu_core.experiment import record
from bu_core.experiment.beyond import Remembered, Requested, requested
from bu_core.experiment.record import NotRecorded
from bu_core.results import Estimate
from tests.book.notebooks import templates
from tests.helpers import leave_record, small_experiment

SIZES = {"remain_train": 9000, "forget_train": 1000, "remain_test": 500, "forget_test": 500}


def remembered(forget: float, unseen: float, remain: float = 80.0, auc: float = 0.5) -> Remembered:
    """These accuracies on D_f, D_ft and D_rt, and attacks of this AUC with an interval of 0.02 on either side."""
    accuracy = {"remain_train": 99.0, "forget_train": forget, "remain_test": remain, "forget_test": unseen}
    return Remembered(accuracy, dict.fromkeys(("own_outputs", beyond.BY_LABEL), Estimate(auc, auc - 0.02, auc + 0.02)))


def answer(before: Remembered, after: Remembered | None = None) -> Requested:
    return Requested(SIZES, before, after or before, 1.0)


def asked(request: dict[str, Any], called: str, models: dict[str, Requested], *lacks: str) -> Asked:
    return Asked(request, called, models, Gaps(list(lacks)))


def of_classes(*classes: int, expanding: float) -> Asked:
    """One pass brings back what Shrink hides, of what Expanding hides so much, and 1 % with the lasting method."""
    models = {
        "original": answer(remembered(100, 82, 81)),
        "boundary_shrink": answer(remembered(4, 3, 79), remembered(98, 80, 80)),
        "boundary_expanding": answer(remembered(0, 0, 70), remembered(expanding, expanding, 70)),
        LASTING: answer(remembered(0, 0, 80), remembered(1, 1, 80)),
    }
    return asked({"classes": classes}, " and ".join(map(str, classes)), models, "Retrain")


def of_images(share: float, of: Any = "all", **models: Requested) -> Asked:
    return asked({"share": share, "of": of, "seed": 0}, f"{100 * share:g} % of images", models)


SEEN = answer(remembered(100, 82, 81, 0.7))
UNSEEN = answer(remembered(80, 81, 81))
WORSE = answer(remembered(40, 81, 78, 0.2), remembered(60, 81, 80, 0.3))
IMAGES = of_images(
    0.1, original=SEEN, retrain=UNSEEN, boundary_shrink=WORSE, boundary_expanding=SEEN, **{LASTING: WORSE}
)
PLANTED = Beyond([of_classes(3, 4, expanding=50), IMAGES, of_classes(3, expanding=97)])
NOTHING = Beyond([])


# --- what follows from the numbers --------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("seen", "unseen", "low", "high"),
    [((56, 70), (48, 80), 5.24, 33.39), ((10, 10), (0, 10), 60.75, 100.0), ((0, 10), (0, 10), -27.75, 27.75)],
)
def test_the_interval_of_a_difference_is_newcombes(seen, unseen, low: float, high: float):
    """Cases (a), (h) and (f) of Table II, method 10, in Newcombe (1998)."""
    accuracy = {"forget_train": 100 * seen[0] / seen[1], "forget_test": 100 * unseen[0] / unseen[1]}
    found = difference(accuracy, {"forget_train": seen[1], "forget_test": unseen[1]})
    assert found.value == pytest.approx(accuracy["forget_train"] - accuracy["forget_test"])
    assert (found.low, found.high) == (pytest.approx(low, abs=0.006), pytest.approx(high, abs=0.006))


@pytest.mark.parametrize(
    ("found", "side"),
    [
        (remembered(100, 82), 1),
        (remembered(40, 82), -1),
        (remembered(82, 81), 0),
        (remembered(82, 81, auc=0.6), 1),
        (remembered(82, 81, auc=0.4), -1),
        (remembered(82, 81, auc=0.51), 0),
        (remembered(100, 82, auc=0.2), 1),
    ],
)
def test_images_are_told_from_unseen_ones_by_accuracy_and_then_by_the_attack(found: Remembered, side: int):
    assert of_images(0.1, original=answer(found)).told("original", "before") == side


def test_of_what_is_not_known_nothing_is_told():
    none = of_images(0.1)
    assert none.told("retrain", "before") is none.recognised("retrain", "before") is none.price("retrain") is None
    assert none.returns("retrain") is none.beside_unseen("retrain", "after") is None
    without_batchnorm = of_images(0.1, original=Requested(SIZES, remembered(100, 82), None, 1.0))
    assert without_batchnorm.told("original", "before") == 1
    assert without_batchnorm.told("original", "after") is without_batchnorm.returns("original") is None


def test_a_class_returns_and_its_price_is_what_the_original_has_more():
    both = PLANTED.of_classes[-1]
    assert [each.called for each in PLANTED.of_classes] == ["3", "3 and 4"]
    assert [both.returns(model) for model in ("boundary_shrink", LASTING, "retrain")] == [True, False, None]
    assert both.price("boundary_shrink") == 2.0
    assert PLANTED.known() == ["original", "retrain", "boundary_shrink", "boundary_expanding", LASTING]


# --- figures, tables, sentences -----------------------------------------------------------------------------------


def test_the_figure_of_classes_has_a_panel_a_request_and_a_ring_and_a_dot_a_model():
    figure = beyond.by_classes(PLANTED)
    assert figure is not None
    assert [axes.get_title() for axes in figure.axes] == ["1 class", "2 classes"]
    shrink = [line for line in figure.axes[1].get_lines() if list(line.get_ydata()) == [2] and line.get_marker() == "o"]
    drawn = [(list(line.get_xdata()), line.get_fillstyle()) for line in shrink]
    assert drawn == [([4.0], "none"), ([98.0], "full")]
    assert [label.get_text() for label in figure.axes[0].get_yticklabels()][-1] == "Lasting method"
    plt.close(figure)


def test_the_figure_of_images_has_both_accuracies_and_the_auc_with_its_interval():
    figure = beyond.by_images(PLANTED)
    assert figure is not None
    left, right = figure.axes
    dots = [(line.get_xdata()[0], line.get_ydata()[0]) for line in left.get_lines() if line.get_marker() == "o"]
    assert dots.count((82, 100)) == 4, "original and Expanding, before and after"
    assert {(81, 40), (81, 60)} <= set(dots)
    ends = [tuple(line.get_xdata()) for line in right.get_lines() if len(line.get_xdata()) == 2]
    assert (pytest.approx(0.18), pytest.approx(0.22)) in ends
    plt.close(figure)
    assert beyond.by_images(NOTHING) is beyond.by_classes(NOTHING) is None
    assert beyond.by_images(Beyond([of_classes(3, expanding=50)])) is None


def test_tables_have_a_row_a_model_and_say_what_is_missing():
    table = beyond.classes_table(PLANTED)
    assert table is not None
    row = table.data.loc[("3 and 4", "Boundary Shrink")]
    assert list(row) == ["4.0", "98.0", "3.0", "80.0", "79.0", "80.0", "+2.0"]
    assert "Not recorded: 3 (Retrain); 3 and 4 (Retrain)." in table.to_html()
    table = beyond.images_table(PLANTED)
    assert table is not None
    row = table.data.loc[("10 % of images", "Boundary Shrink", "after")]
    assert row["<i>D</i><sub>f</sub>, %"] == "60.0"
    assert row["<i>D</i><sub>f</sub> less <i>D</i><sub>ft</sub>, points"].startswith("-21.0<br>")
    assert row["AUC, modified entropy"] == "0.30<br><small>0.28&nbsp;to&nbsp;0.32</small>"
    assert beyond.classes_table(NOTHING) is beyond.images_table(NOTHING) is None


def test_the_box_says_what_comes_back_and_what_is_told():
    words = templates("beyond")
    said = words.in_short(PLANTED)
    assert "**Several classes come back too.** Asked to forget 2 classes" in said
    assert "leave 0.0 to 4.0 % of $D_f$" in said
    assert "after one unlabelled pass 50.0 to 98.0 %; the lasting method leaves 1.0 % after it." in said
    assert "**Single images: no method makes them look unseen.**" in said
    assert "1 of 3 still treat them better than unseen images; 2 of 3 treat them worse" in said
    assert said.endswith("They cost 0.0 to 3.0 points of $D_{rt}$.")
    assert words.in_short(NOTHING) == "This run was asked for one class alone."


def test_the_box_follows_the_numbers_where_these_are_others():
    words = templates("beyond")
    part = Beyond(
        [of_classes(3, 4, expanding=0), of_images(0.1, original=SEEN, boundary_shrink=UNSEEN, **{LASTING: WORSE})]
    )
    said = words.in_short(part)
    assert "**Several classes come back with 1 of 2 methods.**" in said
    del part.asked[0].models["boundary_expanding"]
    assert "Boundary Shrink leaves 4.0 % of $D_f$ recognised, and after one unlabelled pass 98.0 %" in words.in_short(
        part
    )
    assert "**Single images: 1 of 2 methods make them look unseen.**" in said
    assert words.in_short(Beyond([of_images(0.1, original=SEEN, boundary_shrink=UNSEEN)])) == (
        "**Single images: 1 of 1 methods make them look unseen.** They cost 0.0 to 0.0 points of $D_{rt}$."
    )
    blind = words.in_short(Beyond([of_images(0.1, original=UNSEEN, boundary_shrink=WORSE)]))
    assert blind.startswith("**Single images: these data cannot say.**")


def test_the_sentences_tell_what_each_request_came_to():
    words = templates("beyond")
    classes = words.class_by_class(PLANTED)
    assert "- **One class** (3): the classes return after 2 of 2 published methods, 97.0 to 98.0 % of $D_f$" in classes
    assert "brings 5 % of $D_f$ or more" in classes
    assert "- **2 classes** (3 and 4)" in classes
    assert "Boundary Shrink 2.0, Boundary Expanding 11.0, Lasting method 1.0" in classes
    images = words.image_by_image(PLANTED)
    assert (
        "- *As the method leaves it*, better than unseen images: Original (100.0, 82.0), Boundary Expanding" in images
    )
    assert "like unseen images: Retrain (80.0, 81.0)" in images
    assert "**worse than unseen images**: Boundary Shrink (60.0, 81.0), Lasting method (60.0, 81.0)." in images
    assert images.endswith("they treat it worse than what they never saw.")
    unseen = words.image_by_image(Beyond([of_images(0.1, original=SEEN, retrain=UNSEEN)]))
    assert unseen.endswith("By accuracy and modified entropy none is treated worse than unseen images.")
    accuracy = remembered(80, 81).accuracy
    told = {"own_outputs": Estimate(0.24, 0.21, 0.27), beyond.BY_LABEL: Estimate(0.5, 0.48, 0.52)}
    hidden = words.image_by_image(
        Beyond([of_images(0.1, original=SEEN, boundary_shrink=answer(Remembered(accuracy, told)))])
    )
    assert "after Boundary Shrink, the attack by own outputs has an AUC of 0.24" in hidden
    goes = words.what_else_goes(PLANTED)
    assert "Boundary Shrink 60.0, 1.0 and 3.0; Boundary Expanding 0.0, 0.0 and 0.0" in goes
    assert "100.0 % of $D_f$ (the original 100.0), 82.0 % of $D_{ft}$ (the original 82.0)" in words.no_boundary(PLANTED)
    halves = {"original": SEEN, "boundary_expanding": answer(remembered(80, 72, 71))}
    assert "For each point of $D_f$ it takes 0.5 points of $D_{ft}$" in words.no_boundary(
        Beyond([of_images(0.1, **halves)])
    )
    assert words.no_boundary(NOTHING).startswith("Boundary Expanding was not asked")


def test_where_the_original_is_not_told_memory_cannot_show_and_it_says_so():
    words = templates("beyond")
    luck = words.could_it_be_luck(PLANTED)
    assert "The original saw all of $D_f$: +18.0 points beside $D_{ft}$" in luck
    assert "differ by 1.0 points" in luck
    assert "memory cannot show" not in luck
    assert "memory cannot show" in words.could_it_be_luck(Beyond([of_images(0.1, original=UNSEEN)]))
    assert "halves" not in words.could_it_be_luck(Beyond([of_images(0.1, of=3, original=SEEN)]))
    passes = words.the_measure(PLANTED, "A run")
    assert passes.startswith("*A run:*")
    assert "so like unseen images" in passes
    assert "no evidence" not in passes
    assert "no evidence" in words.the_measure(Beyond([of_images(0.1, original=SEEN, retrain=SEEN)]), "A run")
    assert words.the_measure(Beyond([of_images(0.1, original=SEEN)]), "A run") == ""


# --- a small run --------------------------------------------------------------------------------------------------

REQUESTS = [{"classes": [4]}, {"classes": [4, 7]}, {"share": 0.1}]
BOTH = {"methods": ("retrain", "boundary_shrink"), "epochs": 1}


@pytest.mark.slow
def test_a_run_is_asked_every_request_with_every_model(tmp_path: Path):
    experiment = small_experiment(tmp_path, requests=REQUESTS, **BOTH)
    found = beyond.measure(experiment)
    assert [each.called for each in found.asked] == ["4", "4 and 7", "10 % of all images"]
    assert [list(each.models) for each in found.asked] == [["original", "retrain", "boundary_shrink", LASTING]] * 3
    there = experiment.variation(["retrain"], forget={"classes": [4, 7]})
    assert found.asked[1].models["retrain"] == requested(there, "retrain")
    assert found.asked[1].models[LASTING] != found.asked[1].models["boundary_shrink"]
    own = experiment.outputs("original")
    assert found.asked[0].models["original"].sizes == {part: len(said.labels) for part, said in own.items()}
    for draw in (beyond.by_classes, beyond.by_images):
        plt.close(draw(found))
    assert beyond.measure(small_experiment(tmp_path, **BOTH)) == NOTHING


def test_of_a_record_what_is_missing_is_named_and_the_rest_is_shown(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    made = small_experiment(tmp_path / "made", requests=REQUESTS[:1], **BOTH)
    beyond.measure(made)
    there = made.variation(["boundary_shrink"], forget=REQUESTS[2])
    for model in ("original", "boundary_shrink"):
        requested(there, model)
    monkeypatch.setattr(record, "ROOT", tmp_path / "book")
    leave_record(made, tmp_path / "book" / "small")
    shown = small_experiment(tmp_path / "shown", requests=REQUESTS, **BOTH)
    found = beyond.measure(shown)
    assert [each.called for each in (*found.of_classes, *found.of_images)] == ["4", "10 % of all images"]
    assert list(found.of_images[0].models) == ["original", "boundary_shrink"]
    assert beyond.lacking(found, classes=False) == "Not recorded: 10 % of all images (Retrain, Lasting method)."
    assert beyond.lacking(found, classes=True) == (
        "Not recorded: 4 and 7 (Original, Retrain, Boundary Shrink, Lasting method)."
    )
    with pytest.raises(NotRecorded):
        beyond.measure(small_experiment(tmp_path / "other", requests=REQUESTS[1:2], **BOTH))
