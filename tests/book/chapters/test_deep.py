"""The chapter on the deep setting, on planted rows and on the records."""

from dataclasses import replace

import matplotlib.pyplot as plt

from bu_book.chapters import deep, lasting
from bu_book.chapters.deep import Deep, OffTheLadder
from bu_book.chapters.lasting import DEEP, RECOMMENDED, EveryClass, Row
from bu_book.gaps import Gaps
from bu_core.audits.held_out import HeldOut
from bu_core.config import Config
from bu_core.experiment.experiment import Experiment
from bu_core.unlearning import METHODS, method_settings
from tests.book.lasting_rows import left, planted, row
from tests.book.notebooks import templates

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
    return Deep(planted(*more), {}, None, None, None)


WHOLE = replace(made(ROW), off_the_ladder=OFF, every_class=EVERY, told_by=[])


def test_the_box_says_what_forgets_and_what_stands_against_it():
    told = templates("deep")
    words = told.in_short(WHOLE)
    assert words.startswith(
        "**Yes, in the last features.** 5 labelled images find 20 % of $D_{ft}$, in a Retrain 18 to"
    )
    assert "a linear probe 26 % (23 to 27 %)" in words
    assert "a probe two blocks earlier still finds 56 % (Retrain 50 to 54 %)" in words
    assert "5 labelled images find -3.0 points beside that class's Retrain" in words
    hidden = row(DEEP.called, "lasting", lasting.SHRINK, 20_000, left(0.1, 90.0))
    assert told.in_short(made(hidden)).startswith("**No.** 5 labelled images find 90 %")
    still = row(DEEP.called, "lasting", lasting.SHRINK, 20_000, left(100.0, 90.0), left(98.0, 90.0))
    assert told.in_short(made(still)) == "**No.** 99 % of $D_f$ come back."
    tuned = row(lasting.DEEP_TUNED_TITLE, "lasting", lasting.SHRINK, 20_000, left(0.1, 20.0))
    words = told.in_short(made(still, tuned))
    assert words.startswith("As it was set on CIFAR-10: **No.**")
    assert "Tuned to these data: **Yes, in the last features.**" in words
    assert told.in_short(made()) == told.what_it_is(made()) == told.inside_and_outside(made()) == told.NOT_TRIED


def test_the_setting_is_told_beside_the_range_of_the_retrains():
    told = templates("deep")
    words = told.what_it_is(made(ROW))
    assert "and `output_row: relearned`, beside the settings of the lasting method, in 2 epochs with 5,000" in words
    assert "trains on 50 times fewer images than Retrain" in words
    words = told.inside_and_outside(made(ROW))
    assert "few shots and linear probe" in words
    assert "outside by more on relearning on few 42 steps (Retrain 50 to 50)." in words
    assert "**no audit tells it from a Retrain**" in told.inside_and_outside(WHOLE)
    assert "tell it from a Retrain: shots." in told.inside_and_outside(replace(WHOLE, told_by=["shots"])).replace(
        " of this class", ""
    )
    of_parts = dict(
        zip([each.called for each in deep.PARTS], [left(0, 17, steps=32), left(0, 19), left(0, 72)], strict=True)
    )
    words = told.inside_and_outside(replace(WHOLE, parts=of_parts))
    assert "relearning on few takes 50 steps, and with the old row 32. Five labelled images find 20 %" in words
    assert "without an adversary 72 %" in words


def test_a_part_that_is_taken_away_stands_below_the_whole():
    assert deep.parts_table(WHOLE) is None
    table = deep.parts_table(replace(WHOLE, parts={deep.OLD_ROW.called: left(0, 17, steps=32)}))
    assert table is not None
    assert table.data["steps to relearn"].tolist() == ["50.0", "32.0"]
    assert deep.parts_table(made()) is None


def test_auditors_who_are_not_on_the_ladder_are_told_by_their_means():
    words = templates("deep").whoever_asks(WHOLE)
    assert "**nearest neighbours:** 26.0 %, with the recommended settings 29.0 %, in a Retrain 20.0 to 24.0 %" in words
    assert "linear probe, two blocks earlier:** 56.0 %" in words and "in a Retrain 50.0 to 54.0 %" in words
    assert "one block earlier:** 4" not in words, "where it has an adversary"
    table = deep.off_the_ladder_table(WHOLE)
    assert table is not None and table.data.loc["Retrain"].tolist()[0] == "22.0 (20.0 to 24.0)"
    assert "CIFAR-10 alone" in templates("deep").whoever_asks(made())
    assert deep.off_the_ladder_table(made()) is None


def test_every_class_is_told_beside_its_retrain():
    words = templates("deep").on_every_class(WHOLE)
    assert "5 labelled images find -3.0 (-3.0 to -3.0) points beside the Retrain of the same class" in words
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
    assert [label.get_text() for label in figure.axes[0].get_yticklabels()] == [*deep.ON_THE_LADDER, *deep.AUDITORS]
    plt.close(figure)
    assert deep.who_finds_it(made()) is None
    alone = deep.who_finds_it(made(ROW))
    assert alone is not None and len(alone.axes[0].get_yticklabels()) == len(deep.ON_THE_LADDER)
    plt.close(alone)


def test_every_part_is_a_setting_that_its_method_has():
    for setting in (*deep.PARTS, *(each for data in lasting.DEEP_TUNED for each in lasting.deep_tuned(data))):
        METHODS[setting.method].check(setting.called, method_settings(setting.method, setting.settings))


def test_the_records_hold_the_setting():
    found = deep.measure(Experiment(Config.from_profile("cifar10")))
    assert found.row is not None and len(found.row.left) == 5
    assert found.told_by == [] and set(found.parts) == {each.called for each in deep.PARTS}
    assert found.off_the_ladder is not None and found.every_class is not None
