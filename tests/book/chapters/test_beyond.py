"""What is remembered of several classes and of single images, told from planted results and from a small run."""

from pathlib import Path
from typing import Any

import matplotlib.pyplot as plt
import pytest

from bu_book.chapters import beyond
from bu_book.chapters.beyond import LASTING, Asked, Beyond, difference, less
from bu_book.gaps import Gaps
from bu_book.measured.beyond import Remembered, Requested, requested
from bu_core.experiment import record
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
    if len(classes) > 1:
        models["retrain"] = answer(remembered(0, 0, 83))
    lacks = ["Retrain"] if len(classes) == 1 else []
    return asked({"classes": classes}, " and ".join(map(str, classes)), models, *lacks)


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


def test_the_difference_of_two_estimates_is_joined_as_two_shares_are():
    apart = less(Estimate(5.0, 2.0, 9.0), Estimate(1.0, -3.0, 4.0))
    assert apart == Estimate(4.0, pytest.approx(4 - 18**0.5), pytest.approx(4 + 32**0.5))
    assert less(Estimate(1.0, None, None), Estimate(0.5, 0.4, 0.6)) == Estimate(0.5, None, None)
    assert less(Estimate(None, None, None), Estimate(0.5, 0.4, 0.6)) == Estimate(None, None, None)


@pytest.mark.parametrize(
    ("found", "side"),
    [
        (remembered(100, 82), 1),
        (remembered(40, 82), -1),
        (remembered(82, 81), 0),
        (remembered(90, 81), 1),
        (remembered(82, 81, auc=0.6), 1),
        (remembered(82, 81, auc=0.4), -1),
        (remembered(82, 81, auc=0.51), 0),
        (remembered(100, 82, auc=0.2), 1),
    ],
)
def test_images_are_told_from_unseen_ones_by_accuracy_and_then_by_the_attack(found: Remembered, side: int):
    assert of_images(0.1, original=answer(found), retrain=UNSEEN).told("original", "before") == side


def test_what_is_told_is_more_than_of_retrain_and_not_more_than_nothing():
    """Here the draw is off: Retrain, too, does 9 points better on D_f and has an AUC of 0.6."""
    off = answer(remembered(90, 81, auc=0.6))
    there = of_images(0.1, original=answer(remembered(91, 81, auc=0.61)), retrain=off, boundary_shrink=SEEN)
    assert [there.told(name, "before") for name in ("original", "retrain", "boundary_shrink")] == [0, 0, 1]


def test_the_distance_from_retrain_is_the_largest_of_three():
    assert [IMAGES.distance(name, "before") for name in ("retrain", "original", "boundary_shrink")] == [0, 20, 40]
    assert IMAGES.distance("boundary_shrink", "after") == 20
    assert [IMAGES.like_retrain(name, "before") for name in ("retrain", "original")] == [True, False]
    costly = of_images(0.1, retrain=UNSEEN, boundary_shrink=answer(remembered(80, 81, 70)))
    assert (costly.told("boundary_shrink", "before"), costly.like_retrain("boundary_shrink", "before")) == (0, False)
    assert costly.from_retrain("boundary_shrink", "remain_test", "after") == -11


def test_of_what_is_not_known_nothing_is_told():
    none = of_images(0.1)
    assert none.told("retrain", "before") is none.recognised("retrain", "before") is none.price("retrain") is None
    assert none.returns("retrain") is none.beside_unseen("retrain", "after") is None
    alone = of_images(0.1, original=SEEN)
    assert alone.told("original", "before") is alone.distance("original", "before") is None
    assert alone.from_retrain("original", "forget_train", "before") is alone.like_retrain("original", "before") is None
    without_batchnorm = of_images(0.1, original=Requested(SIZES, remembered(100, 82), None, 1.0), retrain=UNSEEN)
    assert without_batchnorm.told("original", "before") == 1
    assert without_batchnorm.told("original", "after") is without_batchnorm.returns("original") is None


def test_a_class_returns_and_its_price_is_what_the_original_has_more():
    both = PLANTED.of_classes[-1]
    assert [each.called for each in PLANTED.of_classes] == ["3", "3 and 4"]
    assert [both.returns(model) for model in ("boundary_shrink", LASTING, "retrain")] == [True, False, False]
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


def test_the_figure_of_images_has_a_row_a_model_with_both_accuracies_and_the_auc():
    figure = beyond.by_images(PLANTED)
    assert figure is not None
    left, right = figure.axes
    dots = {
        (line.get_ydata()[0], line.get_fillstyle()): line.get_xdata()[0]
        for line in left.get_lines()
        if line.get_marker() == "o"
    }
    assert len(dots) == 2 * len(PLANTED.known()), "no two marks in one place"
    assert (dots[1.8, "none"], dots[2.2, "full"]) == (40, 60), "Shrink before and after"
    bars = {line.get_ydata()[0]: line.get_xdata()[0] for line in left.get_lines() if line.get_marker() == "|"}
    assert (bars[1.8], bars[-0.2]) == (81, 82)
    ends = [tuple(line.get_xdata()) for line in right.get_lines() if len(line.get_xdata()) == 2]
    assert (pytest.approx(0.18), pytest.approx(0.22)) in ends
    assert [list(axes.get_lines()[-1].get_xdata()) for axes in (left, right)] == [[80, 80], [0.5, 0.5]], "Retrain"
    low, high = right.get_xlim()
    assert low <= 0.18 and high >= 0.72, "no AUC lies outside"
    plt.close(figure)
    assert beyond.by_images(NOTHING) is beyond.by_classes(NOTHING) is None
    assert beyond.by_images(Beyond([of_classes(3, expanding=50)])) is None


def test_tables_have_a_row_a_model_and_say_what_is_missing():
    table = beyond.classes_table(PLANTED)
    assert table is not None
    row = table.data.loc[("3 and 4", "Boundary Shrink")]
    assert list(row) == ["4.0", "98.0", "3.0", "80.0", "79.0", "80.0", "-3.0"]
    assert "Not recorded: 3 (Retrain)." in table.to_html()
    table = beyond.images_table(PLANTED)
    assert table is not None
    row = table.data.loc[("10 % of images", "Boundary Shrink", "after")]
    assert row["<i>D</i><sub>f</sub>, %"] == "60.0"
    assert row["from Retrain at the most, points"] == "20.0"
    assert row["<i>D</i><sub>f</sub> less <i>D</i><sub>ft</sub>, points"].startswith("-21.0<br>")
    assert row["AUC, modified entropy"] == "0.30<br><small>0.28&nbsp;to&nbsp;0.32</small>"
    assert beyond.classes_table(NOTHING) is beyond.images_table(NOTHING) is None


def test_the_box_says_what_comes_back_and_how_far_it_is_from_retrain():
    words = templates("beyond")
    said = words.in_short(PLANTED)
    assert (
        "**Several classes come back too.** Asked to forget 2 classes, the published methods recognise 0.0 to 4.0 %"
        in said
    )
    assert "after one unlabelled pass 50.0 to 98.0 %. The lasting method leaves 1.0 % and keeps 80.0 %" in said
    assert (
        "**Single images: no method ends where Retrain does.** Without 10 % of images, Retrain recognises 80.0 %"
        in said
    )
    assert "Boundary Expanding still recognises 100.0 %. Boundary Shrink and the lasting method cost 3.0 points" in said
    assert "The nearest to Retrain, Boundary Expanding, differs from it by up to 20.0 points of accuracy" in said
    assert said.endswith("; the untouched original by 20.0.")
    assert words.in_short(NOTHING) == "This run was asked for one class alone."


def test_the_box_follows_the_numbers_where_these_are_others():
    words = templates("beyond")
    models = {"original": SEEN, "retrain": UNSEEN, "boundary_shrink": UNSEEN, LASTING: WORSE}
    part = Beyond([of_classes(3, 4, expanding=0), of_images(0.1, **models)])
    said = words.in_short(part)
    assert "**Several classes come back with 1 of 2 methods.**" in said
    del part.asked[0].models["boundary_expanding"]
    assert "Boundary Shrink recognises 4.0 % of $D_f$, and after one unlabelled pass 98.0 %" in words.in_short(part)
    assert "**Single images: Boundary Shrink ends where Retrain does.**" in said
    both = models | {"random_labels": UNSEEN}
    assert "**Single images: Boundary Shrink and Random Labels end where" in words.in_short(
        Beyond([of_images(0.1, **both)])
    )
    blind = words.in_short(Beyond([of_images(0.1, original=UNSEEN, retrain=UNSEEN, boundary_shrink=WORSE)]))
    assert blind.startswith("**Single images: these data cannot say.**")
    assert words.of_images(Beyond([of_images(0.1, original=SEEN, boundary_shrink=WORSE)])) == "", "no Retrain"


def test_the_box_says_what_happens_to_the_rest_of_a_class():
    words = templates("beyond")

    def said(unseen: float) -> str:
        shrink = answer(remembered(7, unseen), remembered(100, 80))
        return words.of_a_class(Beyond([of_images(0.1, of=4, retrain=UNSEEN, boundary_shrink=shrink)]))

    assert "Boundary Shrink takes the whole class away: it recognises 7.0 % of $D_f$ and 6.0 % of unseen" in said(6)
    assert said(6).endswith("after re-estimation 100.0 % of $D_f$.")
    assert "takes others along" in said(60)
    assert "leaves the class" in said(80)
    assert words.of_a_class(PLANTED) == ""


def test_the_sentences_tell_what_each_request_came_to():
    words = templates("beyond")
    classes = words.class_by_class(PLANTED)
    assert "(*back* means 5 % or more)" in classes
    assert "- **One class** (3): back after 2 of 2 published methods, with 97.0 to 98.0 %; Lasting method" in classes
    assert "- **2 classes** (3 and 4)" in classes
    assert (
        "after re-estimation: Original -2.0, Boundary Shrink -3.0, Boundary Expanding -13.0, Lasting method -3.0."
        in classes
    )
    assert "takes the original from" not in classes
    costly = of_classes(3, 4, expanding=50)
    costly.models["original"] = answer(remembered(100, 82, 81), remembered(100, 82, 67))
    assert "of its own: it takes the original from 81.0 to 67.0 %." in words.class_by_class(Beyond([costly]))
    assert "After 1 of 2 methods, less is recognised of 2 classes than of 1" in classes
    assert "Not all of it had gone" not in classes
    stays = of_classes(3, 4, expanding=50)
    stays.models["boundary_expanding"] = answer(remembered(64, 60, 70), remembered(50, 50, 70))
    said = words.class_by_class(Beyond([stays, of_classes(3, expanding=97)]))
    assert "had gone: before re-estimation, Boundary Expanding still recognised 64.0 %. More" in said
    images = words.image_by_image(PLANTED)
    assert "- **10 % of images.** Retrain recognises 80.0 % of $D_f$, 81.0 % of $D_{ft}$ and 81.0 %" in images
    assert "Points from it: 20.0 the original and Boundary Expanding; 40.0 Boundary Shrink and the lasting" in images
    assert "$D_f$ looks seen after 1 of 3, **tampered with** after 2 of 3 methods." in images
    assert (
        "After re-estimation: 20.0 the original, Boundary Shrink, Boundary Expanding and the lasting method" in images
    )
    still = words.image_by_image(Beyond([of_images(0.1, original=SEEN, retrain=UNSEEN, boundary_shrink=UNSEEN)]))
    assert still.endswith("$D_f$ looks as after Retrain after 1 of 1 methods. Re-estimation moves none by 5 points.")
    accuracy = remembered(80, 81).accuracy
    told = {"own_outputs": Estimate(0.24, 0.21, 0.27), beyond.BY_LABEL: Estimate(0.5, 0.48, 0.52)}
    hidden = words.image_by_image(
        Beyond([of_images(0.1, original=SEEN, retrain=UNSEEN, boundary_shrink=answer(Remembered(accuracy, told)))])
    )
    assert "after Boundary Shrink, the attack by own outputs has an AUC of 0.24" in hidden
    goes = words.what_else_goes(PLANTED)
    assert goes.endswith("- **10 % of images**: Boundary Shrink 0.0, Lasting method 0.0."), "Expanding takes nothing"
    assert words.what_else_goes(NOTHING) == words.image_by_image(NOTHING) == ""


def test_where_the_original_is_not_told_memory_cannot_show_and_it_says_so():
    words = templates("beyond")
    luck = words.could_it_be_luck(PLANTED)
    assert "Original +18.0 points" in luck and "Retrain -1.0 points" in luck
    assert "memory cannot show" not in luck
    blind = words.could_it_be_luck(Beyond([of_images(0.1, original=UNSEEN, retrain=UNSEEN)]))
    assert blind.endswith("Here memory cannot show, and over-forgetting alone can.")
    assert "nothing is judged" in words.could_it_be_luck(Beyond([of_images(0.1, original=SEEN)]))
    assert words.could_it_be_luck(NOTHING) == ""


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
