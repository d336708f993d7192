"""The chapter on settings, on planted points."""

from dataclasses import replace
from pathlib import Path

import matplotlib.pyplot as plt
import pytest

from bu_book.chapters import settings
from bu_book.chapters.settings import Fisher, RateCurve, Rates, Repeated, over_alpha, over_rates
from bu_book.claims import NEAR, Bounds, Effect
from bu_book.gaps import Gaps
from bu_book.measured import over_settings
from bu_book.measured.over_settings import FisherPoint, FisherSweep, Point
from bu_core.data import SPLITS
from bu_core.experiment import record
from bu_core.experiment.metrics import metrics
from tests.book.notebooks import templates
from tests.helpers import leave_record, small_experiment


def planted(forget: float, asr: float) -> Point:
    return Point(dict.fromkeys(SPLITS, 90.0) | {"forget_train": forget}, {"own_outputs": asr, "confidence": 50.0})


def rates() -> Rates:
    """At 0.1 nothing is left and one attack finds 20 points more than after Retrain; at 0.2 the fit diverged."""
    points = {0.05: planted(40.0, 60.0), 0.1: planted(1.0, 60.0), 0.2: Point({}, {})}
    return Rates(
        [RateCurve("finetune", 0.1, points)], {"own_outputs": 40.0, "confidence": 45.0}, Gaps(["Finetune at 0.4"])
    )


def test_the_corner_of_the_claim_is_an_empty_class_and_an_attack_that_finds_more():
    found = rates()
    curve = found.curves[0]
    assert found.like_the_claim(curve, "own_outputs") == [0.1]
    assert found.like_the_claim(curve, "confidence") == [], "5 points more are near"
    assert found.nearest(curve) == (20.0, "own_outputs", 0.1)
    words = templates("settings")
    said = words.in_the_corner(found)
    assert said.startswith("Retrain's own ASR is 40.0 % by own outputs, 45.0 % by confidence.")
    assert "**Finetune** empties $D_f$ at 1 of 2 rates" in said
    assert "Above the dotted line: own outputs at 0.1, with 90.0 % of $D_{rt}$." in said
    short = words.by_rate(found)
    assert short.startswith(
        "**Finetune: $D_f$ is empty and an attack finds 10 points more than after Retrain at 1 of 2 "
    )
    assert "That much is found by own outputs at 0.1, with 90.0 % of $D_{rt}$ left." in short
    found.retrain["own_outputs"] = 58.0
    short = words.by_rate(found)
    assert "than after Retrain at none of 2 learning rates.**" in short
    assert "It empties $D_f$ at 1 of them (0.1). But no attack finds so much" in short
    assert "The 10 points are the limit of this chapter" in short
    assert "the nearest to it is the attack by confidence at 0.1, with +5.0" in short
    assert "nowhere; the nearest to it is the attack by confidence" in words.in_the_corner(found)
    found.retrain["confidence"] = 60.0
    found.retrain["own_outputs"] = 60.0
    assert "none finds more than after Retrain at all" in words.by_rate(found)
    assert "does not have Finetune" in words.by_rate(Rates([], {}, Gaps()))


def test_where_nothing_is_empty_nothing_is_near_the_claim():
    words = templates("settings")
    full = Rates([RateCurve("random_labels", 0.1, {0.1: planted(40.0, 60.0)})], {"modified_entropy": 0.0}, Gaps())
    assert full.nearest(full.curves[0]) is None
    said = words.in_the_corner(full)
    assert "empties $D_f$ at 0 of 1 rates" in said and "dotted line" not in said
    assert "it can hardly tell a method from Retrain here" in said
    assert words.by_other_rates(full) == "", "one rate shows no range"
    full.curves[0].points[0.2] = planted(0.5, 60.0)
    assert words.by_other_rates(full).startswith("**Over their rates,** Random Labels leaves 0.5 to 40.0 % of $D_f$")


def test_the_table_marks_the_rate_of_the_run_and_has_no_number_of_what_diverged():
    table = settings.rate_table(rates()).data
    assert table.index.get_level_values(1).tolist() == ["0.05", "<b>0.1</b>", "0.2"]
    assert table["Own outputs: ASR minus Retrain's, points"].tolist() == ["+20.0", "+20.0", "–"]
    assert settings.rate_table(Rates([], {}, Gaps())) is settings.rate_curves(Rates([], {}, Gaps())) is None


def test_other_seeds_are_told_with_the_limit_of_the_ledger_and_one_seed_beside_itself():
    words = templates("settings")
    effect = Effect("ASR", "points", {"seed 0": 3.5, "seed 1": -3.6}, Bounds(8.9, float("inf"), ""))
    said = words.with_other_seeds(Repeated("seed 0", {"own_outputs": effect}, {"own_outputs": -5.4}))
    assert "**By own outputs:** -3.6 to +3.5 in 2 trainings; the ledger's limit is +8.9." in said
    assert said.endswith("Trained again, seed 0 gave +3.5; this run has -5.4.")
    alike = words.with_other_seeds(Repeated("seed 0", {"own_outputs": effect}, {"own_outputs": 3.5}))
    assert "Trained again" not in alike, "the same network"
    assert words.with_other_seeds(Repeated("seed 0", {}, {})) == ""


def fisher() -> Fisher:
    """With the neuron erased the class is gone whatever the noise; the noise alone takes it at 1e-4."""
    like = dict.fromkeys(SPLITS, 99.0)
    left = {("kept", 0.0): 100.0, ("kept", 1e-6): 100.0, ("kept", 1e-4): 2.0}
    left |= {("erased", 0.0): 0.0, ("erased", 1e-6): 0.0, ("erased", 1e-4): 0.0}
    points = [FisherPoint(alpha, row, planted(forget, 20.0), like) for (row, alpha), forget in left.items()]
    return Fisher(1e-6, FisherSweep(points, dict.fromkeys(SPLITS, 2000)))


def test_fisher_is_told_beside_the_mask():
    words = templates("settings").noise_or_neuron(fisher())
    assert "The noise does nothing that the erased neuron does not." in words
    assert "**As in the paper?** On CIFAR-10 it has 61.6 % of $D_r$ left." in words
    assert "The ASR there is 20.0 % by own outputs, 50.0 % by confidence." in words
    short = templates("settings").by_neuron(fisher())
    assert short.startswith("**Fisher: it is the erased output neuron that empties $D_f$, by hiding the class.**")
    assert "no noise, 0.0 % of $D_f$ are recognised. The noise of this run alone leaves 100.0 % of $D_f$" in short
    assert short.endswith("of the unseen images $D_{ft}$ it leaves 90.0 %; before, 90.0 % were recognised.")
    assert templates("settings").by_neuron(None) == ""
    assert "**Noise alone**, the neuron kept: 90.0 % of $D_r$, 100.0 % of $D_f$" in words
    assert "below 10 % at a strength of 0.0001; there 90.0 % of $D_{rt}$ are left" in words
    table = settings.fisher_table(fisher()).data
    assert table.index.get_level_values(0).tolist() == ["kept"] * 3 + ["erased"] * 3
    assert settings.fisher_table(None) is settings.fisher_curves(None) is None
    assert templates("settings").noise_or_neuron(None) == ""


def test_the_figures_have_a_line_a_set_and_an_attack_and_a_mark_a_rate():
    figure = settings.rate_curves(rates())
    left, right = figure.axes
    assert [axes.get_title(loc="left") for axes in figure.axes] == ["Finetune", ""]
    assert [label.get_text() for label in left.get_xticklabels()] == ["0.05", "0.1", "0.2"]
    marks = {
        (line.get_xdata()[0], line.get_ydata()[0]): line.get_fillstyle()
        for line in right.get_lines()
        if line.get_marker() == "o" and len(line.get_xdata()) == 1
    }
    assert marks == {(0, 20.0): "none", (1, 20.0): "full"}, "filled where D_f is empty, nothing where the fit diverged"
    assert NEAR in [
        line.get_ydata()[0] for line in right.get_lines() if line.get_linestyle() == ":" and len(line.get_ydata())
    ]
    assert [text.get_text() for text in figure.legends[0].get_texts()][-2:] == ["Own outputs", "Confidence"]
    plt.close(figure)
    figure = settings.fisher_curves(fisher())
    assert [len(axes.get_lines()) for axes in figure.axes] == [4, 4], "three sets, and the run's own strength"
    assert [label.get_text() for label in figure.axes[0].get_xticklabels()] == ["0", "1e-6", "1e-4"]
    plt.close(figure)


def test_a_method_with_a_single_rate_has_a_row_in_the_table_and_none_in_the_figure():
    found = rates()
    single = RateCurve("random_labels", 0.1, {0.1: planted(5.0, 50.0)})
    both = replace(found, curves=[*found.curves, single])
    figure = settings.rate_curves(both)
    assert len(figure.axes) == 2
    plt.close(figure)
    assert "Random Labels" in settings.rate_table(both).to_html()
    assert settings.rate_curves(replace(found, curves=[single])) is None


def test_of_a_record_the_run_itself_is_known_and_the_other_rates_are_not(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    changes = {"methods": ("retrain", "random_labels"), "unlearning": {"random_labels": {"epochs": 1}}}
    made = small_experiment(tmp_path / "made", **changes)
    metrics(made)
    monkeypatch.setattr(record, "ROOT", tmp_path / "book")
    leave_record(made, tmp_path / "book" / "small")
    shown = small_experiment(tmp_path / "shown", **changes)
    assert over_alpha(shown) is None
    found, own = over_rates(shown), made.config.unlearning["random_labels"]["lr"]
    assert [list(curve.points) for curve in found.curves] == [[own]]
    assert len(found.gaps.not_recorded) == len(over_settings.RATE_FACTORS["random_labels"]) - 1
    asr = metrics(made).methods["random_labels"].attacks["own_outputs"].asr.value
    assert found.curves[0].points[own].asr["own_outputs"] == pytest.approx(asr)
