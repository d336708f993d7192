"""Networks without BatchNorm beside one with it: planted rates, and what is asked for of a run."""

from dataclasses import replace
from pathlib import Path

import matplotlib.pyplot as plt
import pytest

from bu_book import without_batchnorm
from bu_book.claims import CannotTest
from bu_book.gaps import Gaps
from bu_book.measured import over_rates
from bu_book.measured.over_rates import AtRate, OverRates, Recalled, Yardsticks
from bu_book.without_batchnorm import Compared, OfOneRun, compared, cost_curves, depth, every_rate, line, spread
from bu_core.experiment import record
from bu_core.experiment.experiment import Experiment
from bu_core.experiment.record import NotRecorded
from tests.book.notebooks import templates
from tests.helpers import leave_record, small_experiment

SHRINK = "boundary_shrink"
KNOWN = Recalled(90.0, 95.0, 99.0)


def accuracy(forget: float, remain: float) -> dict[str, float]:
    return {"forget_train": forget, "remain_test": remain}


def of_one(keeps: bool, first: float, seed: int = 0) -> OfOneRun:
    """A run of which the original has 98 %; `first`: its accuracy on D_rt at the lowest rate that forgets."""
    after = accuracy(99.0, 97.0) if keeps else None
    recalled, deeper = (None, None) if keeps else (KNOWN, Recalled(40.0, 80.0, 95.0))
    points = [
        AtRate(0.1, accuracy(60.0, 98.0), after, None),
        AtRate(1, accuracy(8.0, first), after, recalled),
        AtRate(3, accuracy(0.0, 97.0), after, deeper),
        AtRate(10, accuracy(0.0, 60.0), after, recalled),
        AtRate(30, {}, {} if keeps else None, None),
    ]
    known = None if keeps else Yardsticks(Recalled(50.0, 70.0, 93.0), Recalled(97.0, 100.0, 100.0))
    return OfOneRun("net", keeps, "deer", seed, OverRates(accuracy(100.0, 98.0), {SHRINK: points}), known)


@pytest.fixture
def made() -> Compared:
    return Compared([of_one(False, 97.5), of_one(False, 97.0, seed=1), of_one(True, 95.0)], Gaps())


def test_the_first_rate_forgets_and_the_strongest_costs_little(made: Compared):
    run = made.runs[0]
    assert [point.factor for point in run.forgotten(SHRINK)] == [1, 3, 10]
    first, strongest = run.first(SHRINK), run.strongest(SHRINK)
    assert first is not None and (first.factor, run.cost(first)) == (1, 0.5)
    assert strongest is not None and (strongest.factor, run.cost(strongest)) == (3, 1.0)
    never = replace(run, rates=replace(run.rates, methods={SHRINK: run.rates.methods[SHRINK][:1]}))
    assert never.first(SHRINK) is never.strongest(SHRINK) is never.lasting(SHRINK) is None


def test_a_class_that_comes_back_was_not_forgotten_to_last():
    run = of_one(True, 95.0)
    assert run.lasting(SHRINK) is None, "re-estimation brings 99 % back at every rate"
    points = run.rates.methods[SHRINK]
    gone = [*points[:3], replace(points[3], after=accuracy(4.0, 90.0))]
    found = replace(run, rates=replace(run.rates, methods={SHRINK: gone})).lasting(SHRINK)
    assert found is not None and found.factor == 10
    assert of_one(False, 97.5).lasting(SHRINK) == of_one(False, 97.5).first(SHRINK)


def test_the_best_rate_may_cost_what_the_method_costs_with_batchnorm(made: Compared):
    assert str(made.affordable(SHRINK)) == "0.0 (0.0 to 0.0)", "3 points are allowed with seed 0, CHEAP with seed 1"
    dear = replace(made.runs[0], rates=replace(made.runs[0].rates, original=accuracy(100.0, 100.5)))
    assert Compared([dear], Gaps()).affordable(SHRINK) is None, "no rate costs CHEAP or less"
    allowed = Compared([dear, made.runs[2]], Gaps()).affordable(SHRINK)
    assert allowed is not None and allowed.mean == 8.0, "it costs 3 points here, and as many with BatchNorm"


def test_what_the_boundary_leaves_for_that_cost_is_told(made: Compared):
    said = templates("what_forgets").at_the_best_rate(made)
    assert said == "Boundary Shrink leaves 0.0 (0.0 to 0.0) %, at the best of 5 rates in 2 of 2 runs"
    dear = replace(made.runs[0], rates=replace(made.runs[0].rates, original=accuracy(100.0, 100.5)))
    assert (
        templates("what_forgets").at_the_best_rate(Compared([dear], Gaps()))
        == "Boundary Shrink costs more at every rate"
    )


def test_the_rates_are_those_that_were_measured(made: Compared):
    assert (min(made.factors), max(made.factors)) == (0.1, 30)


def test_a_spread_is_a_mean_and_its_ends(made: Compared):
    assert str(spread([1.0, 2.0, 6.0])) == "3.0 (1.0 to 6.0)" and spread([]) is None
    assert str(spread([2.0])) == "2.0", "one number has no ends"
    found = made.at(OfOneRun.first, SHRINK, False, lambda run, at: run.cost(at))
    assert found is not None and (found.mean, found.count) == (0.75, 2)


def test_a_line_starts_at_the_original_and_re_estimation_has_its_own():
    assert line(of_one(True, 95.0), SHRINK)[:3] == [(0.0, 100.0), (0.0, 60.0), (3.0, 8.0)]
    assert line(of_one(True, 95.0), SHRINK, after=True)[:2] == [(0.0, 100.0), (1.0, 99.0)]
    assert all(value != value for value in line(of_one(True, 95.0), SHRINK)[-1]), "it diverged"


def test_the_figure_has_a_line_a_network(made: Compared):
    figure = cost_curves(made)
    (axes,) = figure.axes
    assert axes.get_legend_handles_labels()[1] == list(without_batchnorm._LINES)
    means = dict(zip(axes.get_legend_handles_labels()[1], axes.get_legend_handles_labels()[0], strict=True))
    assert means["without BatchNorm"].get_xdata()[:3].tolist() == [0.0, 0.0, 0.75]
    plt.close(figure)


def test_the_table_has_every_rate(made: Compared):
    table = every_rate(made).data
    assert len(table) == 2 * 5
    cells = table.loc[("Boundary Shrink", "without BatchNorm", "1")].tolist()
    assert cells[:4] == ["8.0 (8.0 to 8.0)", "0.8 (0.5 to 1.0)", "–", "90.0 (90.0 to 90.0)"]
    assert table.loc[("Boundary Shrink", "with BatchNorm", "1")].tolist()[2:4] == ["99.0", "–"]
    assert set(table.loc[("Boundary Shrink", "with BatchNorm", "30")]) == {"–"}, "it diverged"


def test_the_depth_stands_beside_its_yardsticks(made: Compared):
    table = depth(made).data
    assert table.iloc[:, 0].tolist() == ["0.8 (0.5 to 1.0)", "1.0 (1.0 to 1.0)", "–", "–"]
    means = [cell.split()[0] for cell in table.iloc[:, 1]]
    assert means == ["90.0", "40.0", "50.0", "97.0"]
    by_threshold = without_batchnorm.AUDITORS["a threshold"]
    assert made.above_retrain(OfOneRun.first, SHRINK, by_threshold) == (2, 2)
    assert made.above_retrain(OfOneRun.strongest, SHRINK, by_threshold) == (0, 2)


def test_the_sentences_hold_the_planted_numbers(made: Compared):
    said = templates("what_forgets").without_statistics(made)
    assert "by Boundary Shrink in 2 of 2 runs" in said and "at most 10 % of $D_f$, mean (lowest to highest):" in said
    assert (
        "**Boundary Shrink** costs 0.8 (0.5 to 1.0) points on $D_{rt}$ without BatchNorm, 3.0 with it. "
        "It leaves 8.0 (8.0 to 8.0) % of $D_f$; with BatchNorm, re-estimation takes it to 99.0 %. "
        "No rate keeps it from coming back." in said
    )
    assert "at the lowest rate that forgets (Retrain: 50.0 (50.0 to 50.0) %):" in said
    assert (
        "**Boundary Shrink**: 90.0 (90.0 to 90.0) %, more than from Retrain in 2 of 2 runs. At the highest that costs "
        "at most 1 point: 40.0 (40.0 to 40.0) %, more than from Retrain in 0 of 2 runs." in said
    )
    alone = templates("what_forgets").without_statistics(Compared([made.runs[0], made.runs[2]], Gaps()))
    assert "by Boundary Shrink in the one run that was made" in alone and "lowest to highest" not in alone
    assert "**Boundary Shrink**: 90.0 %. At the highest" in alone and "(Retrain: 50.0 %):" in alone
    only = Compared(made.of(True), Gaps())
    dear = replace(made.runs[0], rates=replace(made.runs[0].rates, original=accuracy(100.0, 99.5)))
    dearer = templates("what_forgets").without_statistics(Compared([dear, made.runs[2]], Gaps()))
    assert "No rate that costs at most 1 point forgets the class." in dearer
    assert "does not forget on both networks" in templates("what_forgets").without_statistics(only)


def test_the_opening_page_says_it_of_each_run(made: Compared):
    words = templates("index").by_the_boundary_alone
    one = Compared([made.runs[0], made.runs[2]], Gaps())
    assert words({"Images": one, "Digits": made}) == (
        "Without BatchNorm the boundary forgets by itself, but not deeply. At the lowest rate that forgets, on "
        "Images (1 run) Shrink costs 0.5 points, and a threshold recalls 90 % of unseen images of the class, after "
        "Retrain 50 %; on Digits (2 runs) Shrink costs 0.8 points, and a threshold recalls 90 % of unseen images of "
        "the class, after Retrain 50 %."
    )
    assert words({"Digits": Compared(made.of(True), Gaps())}) == words({}) == ""


def test_a_record_shows_what_it_has_and_nothing_is_computed_unasked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(over_rates, "FACTORS", (1,))
    monkeypatch.setattr(without_batchnorm, "ASKED_ON", {})
    changes = {"elsewhere": ({"model": "allcnn_groupnorm"},), "epochs": 1}
    experiment = small_experiment(tmp_path / "made", **changes)
    with pytest.raises(CannotTest, match="is recorded of this run"):
        compared(experiment)
    found = compared(experiment, everything=True)
    assert [(run.model, run.keeps_statistics) for run in found.runs] == [("allcnn", True), ("allcnn_groupnorm", False)]
    assert found.runs[0].yardsticks is None and found.runs[1].yardsticks is not None
    assert all(set(run.rates.methods) == {SHRINK, "boundary_expanding"} for run in found.runs)
    monkeypatch.setattr(record, "ROOT", tmp_path / "book")
    leave_record(experiment, tmp_path / "book" / "small")
    monkeypatch.setattr(without_batchnorm, "ASKED_ON", {"digits": (2, 2)})
    shown = compared(small_experiment(tmp_path / "shown", **changes))
    assert shown.runs == found.runs and len(shown.gaps.not_recorded) == 9, "three more runs, each of three artefacts"
    rates = without_batchnorm.over_rates

    def with_batchnorm_alone(run: Experiment) -> OverRates:
        if run.config.model == "allcnn":
            return rates(run)
        raise NotRecorded("the rates")

    monkeypatch.setattr(without_batchnorm, "over_rates", with_batchnorm_alone)
    with pytest.raises(CannotTest, match="is recorded of this run"):
        compared(small_experiment(tmp_path / "shown", **changes))


def test_without_two_networks_there_is_nothing_to_compare(tmp_path: Path):
    with pytest.raises(CannotTest, match="no network without BatchNorm"):
        compared(small_experiment(tmp_path), everything=True)
