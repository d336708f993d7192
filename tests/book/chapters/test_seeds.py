"""What repeats with other seeds and other classes tell, on planted numbers and on a small run."""

import statistics
from pathlib import Path

import matplotlib.pyplot as plt
import pytest

from bu_book.chapters import seeds
from bu_book.chapters.seeds import Point, Repeats
from bu_book.gaps import Gaps
from bu_core.experiment.metrics import evaluation
from tests.book.notebooks import templates
from tests.helpers import small_experiment


def points(*forgotten: float, called: str = "seed") -> dict[str, Point]:
    """Points with these accuracies on D_f, of each of which 90 % of D_r are recognised."""
    return {
        f"{called} {place}": Point({"remain_train": 90.0, "forget_train": value}, None)
        for place, value in enumerate(forgotten)
    }


PLANTED = Repeats(
    {
        "seeds": {
            "original": points(100, 100, 100),
            "boundary_shrink": points(10, 12, 14),
            "boundary_expanding": points(11, 11, 11, 0),
        },
        "classes": {"boundary_shrink": points(10, 30, called="class"), "boundary_expanding": points(9, called="class")},
    },
    "deer",
    Gaps(["Retrain, seed 1"]),
)
ALONE = Repeats({"seeds": {"original": points(100)}, "classes": {}}, "a $ b", Gaps())


def test_the_spread_is_the_standard_deviation_over_the_repeats():
    assert PLANTED.spread("seeds", "boundary_shrink", "forget_train") == 2
    assert PLANTED.spread("classes", "boundary_shrink", "forget_train") == pytest.approx(200**0.5)
    assert PLANTED.spread("classes", "boundary_expanding", "forget_train") is None
    assert PLANTED.spread("classes", "original", "forget_train") is None


def test_an_order_is_counted_over_the_repeats_that_have_both_models():
    assert PLANTED.lower("seeds", "boundary_expanding", "boundary_shrink") == (2, 3)
    assert PLANTED.lower("classes", "boundary_expanding", "boundary_shrink") == (1, 1)
    assert PLANTED.lower("classes", "original", "boundary_shrink") == (0, 0)


@pytest.mark.parametrize(("values", "within", "count"), [([5, 5], 1, 2), ([5], 1, None), ([0, 100], 0.1, None)])
def test_how_many_seeds_are_enough_at_the_ends(values: list[float], within: float, count: int | None):
    assert seeds.seeds_needed(values, within) == count


def test_so_many_seeds_bring_the_interval_down_and_one_less_does_not():
    from scipy.stats import t

    values = [10.0, 12, 14, 11, 9]
    count = seeds.seeds_needed(values, 1.0)
    assert count is not None
    halves = [t.ppf(0.975, n - 1) * statistics.stdev(values) / n**0.5 for n in (count - 1, count)]
    assert halves[0] > 1 >= halves[1]


def test_the_table_has_a_mean_with_half_an_interval_of_what_was_repeated():
    table = seeds.table(PLANTED)
    column = "<i>D</i><sub>f</sub>, %"
    assert table.data.loc[("over seeds", "Boundary Shrink"), column] == "12.0&nbsp;±&nbsp;5.0"  # 4.303 * 2 / sqrt(3)
    assert table.data.loc[("over classes", "Boundary Expanding"), column] == "9.0"
    assert list(table.data["n"]) == ["3", "3", "4", "2", "1"]
    assert "Retrain, seed 1" in table.to_html()


def test_the_figure_has_a_dot_a_repeat_in_a_panel_for_each_unit():
    figure = seeds.dots(PLANTED)
    assert figure is not None
    drawn = [[list(line.get_xdata()) for line in axes.get_lines()[::2]] for axes in figure.axes]
    assert drawn == [[[10, 12, 14], [11, 11, 11, 0]], [[10, 30], [9]]]
    assert [axes.get_title() for axes in figure.axes] == ["4 seeds, forgetting deer", "2 classes, one seed"]
    figure.draw_without_rendering()
    left, right = (axes.get_tightbbox() for axes in figure.axes)
    assert (right.x0 - left.x1) / figure.dpi * 72 > 4, "points between the two scales"
    plt.close(figure)
    assert seeds.dots(ALONE) is None


def test_the_sentences_name_what_was_repeated_and_say_where_nothing_was():
    words = templates("seeds")
    said = words.in_short(PLANTED)
    assert said.startswith("Over 3 seeds, the accuracy on $D_f$ scatters (standard deviation) by 2.0 points")
    assert "Expanding recognises less of $D_f$ than Shrink in 2 of 3 seeds." in said
    assert words.in_short(ALONE) == "Nothing was repeated here."
    assert "- Original: **2**" in words.needed(PLANTED)
    assert "$" not in words.needed(ALONE)


def test_a_run_is_measured_with_its_seeds_and_its_classes(tmp_path: Path):
    given = {"methods": ("retrain", "boundary_shrink"), "unlearning": {"boundary_shrink": {"epochs": 1}}, "epochs": 1}
    experiment = small_experiment(tmp_path, elsewhere=[{"seed": 1}, {"forget_class": 0}, {"width": 0.2}], **given)
    found = seeds.measure(experiment)
    assert {name: list(each) for name, each in found.points["seeds"].items()} == dict.fromkeys(
        ("original", "retrain", "boundary_shrink"), ["seed 0", "seed 1"]
    )
    assert {name: list(each) for name, each in found.points["classes"].items()} == dict.fromkeys(
        ("original", "boundary_shrink"), ["4", "0"]
    )
    other = evaluation(experiment.variation(["boundary_shrink"], forget_class=0), "boundary_shrink")
    assert found.points["classes"]["boundary_shrink"]["0"].accuracy == other.accuracy
    other = evaluation(experiment.variation(["boundary_shrink"], seed=1), "boundary_shrink")
    assert found.points["seeds"]["boundary_shrink"]["seed 1"].accuracy == other.accuracy
    assert seeds.over_seeds(found).keys() == {"Original", "Retrain", "Boundary Shrink"}
