"""The chapter on the deep setting, on planted rows and on the records."""

from dataclasses import replace
from pathlib import Path

import matplotlib.pyplot as plt
import pytest

from bu_book.chapters import deep, lasting
from bu_book.chapters.deep import Deep, OffTheLadder
from bu_book.chapters.lasting import DEEP, RECOMMENDED, EveryClass, Left, Row
from bu_book.gaps import Gaps
from bu_core.audits.held_out import HeldOut
from bu_core.config import Config, profiles
from bu_core.experiment.experiment import Experiment
from bu_core.unlearning import METHODS, method_settings
from tests.book.lasting_rows import left, planted, row
from tests.book.notebooks import templates
from tests.helpers import small_experiment

ROW = row(DEEP.called, "lasting", lasting.SHRINK, 20_000, left(0.1, 20.0), left(0.1, 21.0, steps=34))
OFF = OffTheLadder(
    {
        "Original": {"seed 0": HeldOut(70.0, 70.0, 60.0, 50.0)},
        "Retrain": {"seed 0": HeldOut(20.0, 30.0, 40.0, 50.0), "seed 1": HeldOut(24.0, 34.0, 44.0, 54.0)},
        RECOMMENDED.called: {"seed 0": HeldOut(29.0, 39.0, 49.0, 59.0)},
        DEEP.called: {"seed 0": HeldOut(25.0, 35.0, 45.0, 55.0), "seed 1": HeldOut(27.0, 37.0, 47.0, 57.0)},
    },
    Gaps(),
)
EVERY = EveryClass(
    {RECOMMENDED.called: {"cat": left(0.2, 20.0, remain=82.0)}, DEEP.called: {"cat": left(0.1, 12.0, remain=80.0)}},
    {"cat": left(0.0, 15.0, remain=81.0), "dog": left(0.0, 24.0, remain=81.0)},
    {},
    {},
    Gaps(),
)


def made(*more: Row) -> Deep:
    return Deep(planted(*more), {}, None, None, None, None)


WHOLE = replace(made(ROW), off_the_ladder=OFF, every_class=EVERY, told_by=[], by_slack=["few shots"])


def deep_row(*found: Left, called: str = DEEP.called) -> Row:
    return row(called, "lasting", lasting.SHRINK, 20_000, *found)


def test_the_box_says_what_forgets_and_what_stands_against_it():
    told = templates("deep")
    words = told.in_short(WHOLE)
    assert words.startswith(
        "**The last features do.** 5 labelled images find 20 % of $D_{ft}$, in a Retrain 18 to 22 %"
    )
    assert "a linear probe finds 26 %, in a Retrain 23 to 27 %" in words
    assert "The means of 2 seeds lie in the range of 2 Retrains on 4 of 8 numbers." in words
    assert "A linear probe one block earlier still finds 46 %, in a Retrain 40 to 44 %" in words
    assert "it hides too much" not in words, "by no more than the slack"
    less = replace(EVERY, left={DEEP.called: {"cat": left(0.1, 5.0), "dog": left(0.1, 24.0)}})
    words = told.in_short(replace(WHOLE, every_class=less))
    assert "On 1 of 2 classes it hides too much: 5 labelled images find 10 to 10 points less" in words
    assert told.in_short(made(deep_row(left(0.1, 90.0)))).startswith("**No.** 5 labelled images find 90 %")
    still = deep_row(left(100.0, 90.0), left(98.0, 90.0))
    assert told.in_short(made(still)) == "**No.** 99 % of $D_f$ come back."
    words = told.in_short(made(still, deep_row(left(0.1, 20.0), called=lasting.DEEP_TUNED_TITLE)))
    assert words.startswith("As it was set on CIFAR-10: **No.**")
    assert "Tuned to these data: **The last features do.**" in words
    both = made(deep_row(left(0.1, 90.0)), deep_row(left(0.1, 20.0), called=lasting.DEEP_TUNED_TITLE))
    assert told.tuned_or_not({"own": made(ROW), "other": both}) == (
        "- **other:** 5 labelled images find 90 %, with the tuned setting 20 %, in a Retrain 18 to 22 %."
    )
    cells = told.same_and_tuned(both)
    assert [cells[f"5 shots, %: {each}"] for each in ("as set on CIFAR-10", "tuned", "Retrain")] == [
        "90.0", "20.0", "18.0 to 22.0",
    ]  # fmt: skip
    assert told.in_short(made()) == told.what_it_is(made()) == told.NOT_TRIED
    assert told.inside_and_outside(made()) == ""


def test_the_setting_is_told_beside_the_range_of_the_retrains():
    told = templates("deep")
    words = told.what_it_is(made(ROW))
    assert "and `output_row: relearned`, beside the settings of the lasting method, in 2 epochs with 5,000" in words
    assert "trains on 50 times fewer images than Retrain" in words
    words = told.inside_and_outside(made(ROW))
    assert "5 labelled images and the linear probe, and outside on" in words
    assert "relearning on few (8.0 steps below)." in words
    words = told.inside_and_outside(WHOLE)
    assert "**no audit tells the setting from a Retrain** of this class. On few shots the value lies" in words
    assert "outside what the Retrains show, and only the slack takes it in." in words
    words = told.inside_and_outside(replace(WHOLE, told_by=["few shots", "probe"]))
    assert words.endswith("these tell the setting from a Retrain: few shots and probe.")
    lefts = left(0, 17, steps=32), left(0, 19), left(0, 72)
    without = dict(zip([each.called for each in deep.TAKEN_AWAY], lefts, strict=True))
    words = told.inside_and_outside(replace(WHOLE, taken_away=without))
    assert "5 labelled images find 20 %, with the old output row 17 %, without an adversary 72 %." in words
    assert "takes -1.0 points from the labelled images, less than seeds differ by." in words


def test_what_is_taken_away_stands_below_the_whole():
    assert deep.taken_away_table(WHOLE) is None
    table = deep.taken_away_table(replace(WHOLE, taken_away={deep.TAKEN_AWAY[0].called: left(0, 17, steps=32)}))
    assert table is not None
    assert table.data["steps to relearn"].tolist() == ["50.0", "32.0", "50.0"]
    assert table.data.index[-1] == "Retrain"
    assert deep.taken_away_table(made()) is None


def test_auditors_who_are_not_on_the_ladder_are_told_by_their_means():
    words = templates("deep").whoever_asks(WHOLE)
    assert "- **nearest neighbours**: 26.0 % of $D_{ft}$, with the recommended settings 29.0 %, in a Retrain" in words
    assert "in a Retrain 20.0 to 24.0 %; 0 of 2 seeds lie in that range." in words
    assert "**linear probe, one block earlier** (an adversary works there): 46.0 %" in words
    table = deep.off_the_ladder_table(WHOLE)
    assert table is not None and table.data.loc["Retrain"].tolist()[0] == "22.0 (20.0 to 24.0)"
    assert "CIFAR-10 alone" in templates("deep").whoever_asks(made())
    assert deep.off_the_ladder_table(made()) is None


def test_every_class_is_told_beside_its_retrain():
    words = templates("deep").on_every_class(WHOLE)
    assert "5 labelled images find 3.0 points less than in the Retrain of the class" in words
    assert "takes fewer steps than that Retrain on 0 classes, as many on 1, and more on 0." in words
    table = deep.beside_each_retrain_table(WHOLE)
    assert table is not None
    assert list(table.data.index) == [RECOMMENDED.called, DEEP.called]
    assert table.data["5 shots, points"].tolist() == [
        "+5.0<br><small>+5.0&nbsp;to&nbsp;+5.0</small>",
        "-3.0<br><small>-3.0&nbsp;to&nbsp;-3.0</small>",
    ]
    assert deep.beside_each_retrain_table(made()) is None
    assert "CIFAR-10 alone" in templates("deep").on_every_class(made())


def test_the_figure_has_a_row_for_each_auditor_that_looked_at_all():
    figure = deep.who_finds_it(WHOLE)
    assert figure is not None
    auditors = [*deep.OF_THE_LAST_FEATURES, *deep.AUDITORS]
    assert [label.get_text().replace("\n", " ") for label in figure.axes[0].get_yticklabels()] == auditors
    plt.close(figure)
    assert deep.who_finds_it(made()) is None
    alone = deep.who_finds_it(made(ROW))
    assert alone is not None and len(alone.axes[0].get_yticklabels()) == len(deep.OF_THE_LAST_FEATURES)
    plt.close(alone)


def test_the_rule_takes_what_is_most_like_retrain_within_the_limits():
    original = row("Original", "original", "original", 1, left(100, 90, remain=90), left(100, 90, remain=90))
    retrain = row("Retrain", "retrain", "retrain", 1, left(0, 20, remain=90), left(0, 40, remain=90))
    points = [
        row("shallow", "lasting", lasting.SHRINK, 10, left(0, 60, remain=90), left(0, 70, remain=90)),
        row("hides", "lasting", lasting.SHRINK, 10, left(0, 5, remain=90), left(0, 5, remain=90)),
        row("near", "lasting", lasting.SHRINK, 20, left(0, 25, remain=90), left(1, 30, remain=89.5)),
        row("costs", "lasting", lasting.SHRINK, 10, left(0, 20, remain=88), left(0, 40, remain=88)),
        row("comes back", "lasting", lasting.SHRINK, 10, left(5, 20, remain=90), left(5, 40, remain=90)),
    ]
    found = deep.most_like_retrain([original, retrain, *points])
    assert found is not None and found.called == "near"
    assert deep.off_retrain(retrain, found) == 15, "5 and 10 points, on shots and on the probe alike"
    assert deep.most_like_retrain([original, retrain, *points[-2:]]) is None


def test_a_search_looks_at_other_classes_with_a_seed_of_no_replicate(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    experiment = small_experiment(tmp_path, methods=("retrain", "boundary_shrink"))
    monkeypatch.setattr(deep, "GRID", ((0.01, 1),))
    monkeypatch.setattr(lasting, "CHOSEN_ON", 1)
    original, retrain, tried = deep.search(experiment)
    assert (original.method, retrain.method, tried.called) == ("original", "retrain", "rate 0.01, epochs 1")
    assert list(tried.left) == list(retrain.left) == [experiment.dataset.classes[lasting.chosen_on(experiment)[0]]]
    seeds = {
        change["seed"] for name in profiles() for change in Config.from_profile(name).elsewhere if "seed" in change
    }
    assert deep.ANOTHER_SEED not in seeds


def test_every_setting_is_one_that_its_method_has():
    for setting in (*deep.TAKEN_AWAY, *(each for data in lasting.DEEP_TUNED for each in lasting.deep_tuned(data))):
        METHODS[setting.method].check(setting.called, method_settings(setting.method, setting.settings))


def test_the_records_hold_the_setting():
    found = deep.measure(Experiment(Config.from_profile("cifar10")))
    assert found.row is not None and len(found.row.left) == 5
    assert found.told_by == [] and set(found.taken_away) == {each.called for each in deep.TAKEN_AWAY}
    assert found.off_the_ladder is not None and found.every_class is not None
