"""Figure 7 and its table, and the secondary checks of claim 13."""

import math

import matplotlib.pyplot as plt
import pytest

from bu_book.chapters import entropy
from bu_book.claims import CannotTest
from bu_core.experiment.metrics import Metrics
from tests.book import printed
from tests.book.notebooks import templates
from tests.book.printed import changed, without


@pytest.fixture
def as_in_figure_7() -> Metrics:
    """What the paper reads from its Figure 7, in numbers."""
    found = printed.as_printed("cifar10")
    entropies = {
        "original": printed.entropy(0.9, remain_train=0.1, forget_train=0.1, remain_test=0.3, forget_test=0.3),
        "retrain": printed.entropy(0.0, forget_train=1.0),
        "boundary_shrink": printed.entropy(0.1, forget_train=1.1),
        "boundary_expanding": printed.entropy(0.2, forget_train=1.2),
        "random_labels": printed.entropy(0.8, forget_train=1.8),
    }
    for name in found.methods:
        found = changed(found, name, entropy=entropies.get(name, printed.entropy(0.5)))
    return found


def test_what_the_paper_reads_passes_the_secondary_checks(as_in_figure_7: Metrics):
    assert all(check.holds for check in entropy.checks(as_in_figure_7))


def test_a_shrink_farther_from_retrain_than_random_labels_fails_one_check(as_in_figure_7: Metrics):
    far = changed(as_in_figure_7, "boundary_shrink", entropy=printed.entropy(0.85, forget_train=1.1))
    failed = [check for check in entropy.checks(far) if not check.holds]
    assert [(check.rule, check.measured) for check in failed] == [
        ("Random Labels' distance from Retrain's D_f entropies exceeds Boundary Shrink's", "0.80 against 0.85 nats")
    ]


def test_without_a_distance_there_is_no_verdict(as_in_figure_7: Metrics):
    with pytest.raises(CannotTest, match="Retrain was not run"):
        entropy.checks(changed(as_in_figure_7, "original", entropy=printed.entropy(None)))


def test_the_figure_overlays_the_curves_of_few_models(as_in_figure_7: Metrics):
    figure = entropy.curves(as_in_figure_7)
    drawn = {line.get_label(): line for line in figure.axes[0].get_lines()}
    assert list(drawn) == [
        "Original", "Original, test images", "Retrain", "Random Labels", "Boundary Shrink", "Boundary Expanding"
    ]  # fmt: skip
    shares = as_in_figure_7.methods["retrain"].entropy.histogram["forget_train"]
    heights = drawn["Retrain"].get_ydata()
    assert (heights[0], heights[1], heights[-1]) == (0, shares[0], pytest.approx(100))
    assert figure.axes[0].get_xlim() == (0, pytest.approx(math.log(10)))
    plt.close(figure)


def test_the_figure_of_a_run_with_the_original_alone_is_drawn(as_in_figure_7: Metrics):
    others = [name for name in as_in_figure_7.methods if name != "original"]
    figure = entropy.curves(without(as_in_figure_7, *others))
    assert [len(axes.get_lines()) for axes in figure.axes] == [2, 2]
    plt.close(figure)


def test_the_box_says_who_comes_near_retrain(as_in_figure_7: Metrics):
    words = templates("entropy").in_short(as_in_figure_7)
    assert "**Boundary Shrink comes nearer to Retrain than Random Labels does.**" in words
    assert "0.10 nats" in words and "0.80" in words
    far = changed(as_in_figure_7, "boundary_shrink", entropy=printed.entropy(0.85, forget_train=1.1))
    assert "**Random Labels comes nearer to Retrain than Boundary Shrink does.**" in templates("entropy").in_short(far)
    assert "lacks" in templates("entropy").in_short(without(as_in_figure_7, "random_labels"))


def test_the_page_works_out_what_the_claim_is_judged_by(as_in_figure_7: Metrics):
    """Random Labels lies 0.8 above Retrain's 1.0, Shrink 0.1: the claim is about the difference."""
    words = templates("entropy").worked(as_in_figure_7)
    assert "Random Labels lies +0.80 nats from it, Boundary Shrink 0.10 off" in words
    assert "+0.80 − 0.10 = +0.70 nats in this run" in words
    assert f"Retrain {math.e:.2f}" in words and "log 10 = 2.30" in words
    assert templates("entropy").worked(without(as_in_figure_7, "random_labels")) == ""


def test_the_page_says_who_comes_nearest_and_who_no_nearer_than_the_original(as_in_figure_7: Metrics):
    words = templates("entropy").nearest(as_in_figure_7)
    assert words.startswith("Of all methods, Boundary Shrink comes nearest to Retrain, at 0.10 nats.")
    assert "No nearer" not in words
    far = changed(as_in_figure_7, "amnesiac", entropy=printed.entropy(0.9))
    words = templates("entropy").nearest(far)
    assert "No nearer to it than the original, which has forgotten nothing: Amnesiac." in words
    assert templates("entropy").nearest(changed(as_in_figure_7, "original", entropy=printed.entropy())) == ""


def test_the_page_says_of_how_many_images_each_model_is_sure(as_in_figure_7: Metrics):
    words = templates("entropy").where_curves_begin(as_in_figure_7)
    assert "at most 0.12 nats" in words and "Original of 5 %, Retrain of 5 %" in words


def test_the_table_and_the_comparison_show_the_distance_where_there_is_one(as_in_figure_7: Metrics):
    found = changed(as_in_figure_7, "amnesiac", entropy=printed.entropy(None, forget_test=0.25))
    table = entropy.table(found).data
    assert table.loc["Boundary Shrink", "Wasserstein from Retrain, nats"] == "0.10"
    assert table.loc["Boundary Shrink", "Jensen-Shannon from Retrain, bits"] == "0.50"
    assert table.loc["Amnesiac", "mean on <i>D</i><sub>ft</sub>, nats"] == "0.25"
    assert table.loc["Amnesiac", "Wasserstein from Retrain, nats"] == "–"
    assert entropy.distances(found)["Amnesiac"] == "–"
    assert entropy.distances(found)["Random Labels"] == "0.80"
