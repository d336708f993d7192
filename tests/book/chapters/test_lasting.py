"""The chapter on boundary unlearning that lasts, on planted rows."""

from pathlib import Path
from typing import Any

import matplotlib.pyplot as plt
import pytest

from bu_book.chapters import lasting, timing
from bu_book.chapters.lasting import ABLATION, FROZEN, LASTING, NO_IMAGE, RECOMMENDED, TUNED_TITLE, Lasting
from bu_book.gaps import Gaps
from bu_book.measured.mechanism import Returned, Source, Swap
from bu_book.variations import BeforeAndAfter
from bu_core.config import PROFILES, Config
from bu_core.experiment import record
from bu_core.experiment.experiment import Experiment
from bu_core.experiment.record import NotRecorded
from bu_core.unlearning import METHODS, method_settings
from tests.book.lasting_rows import SEEDS, left, planted, row
from tests.book.notebooks import templates
from tests.book.planted import evaluation
from tests.helpers import leave_record, small_experiment


def test_inside_is_the_range_of_the_retrains():
    made = planted()
    recommended, no_image = made.row(RECOMMENDED.called), made.row(NO_IMAGE.called)
    assert recommended is not None and no_image is not None
    assert made.range(lambda left: left.shots) == (18, 22)
    assert made.inside(no_image, lambda left: left.shots) is True
    assert made.inside(recommended, lambda left: left.shots) is False
    assert made.alone(no_image, lambda left: left.shots) == (2, 2)
    high = row("high", "lasting", "boundary_shrink", 60_000, left(0, 20), left(0, 23))
    assert made.inside(high, lambda left: left.shots) is True, "its mean, and not each seed"
    assert made.alone(high, lambda left: left.shots) == (1, 2)
    assert made.fewer(recommended) == 100
    alone = Lasting([each for each in made.rows if each.kind != "retrain"], SEEDS, Gaps(), Gaps(), False, 36)
    assert alone.inside(recommended, lambda left: left.shots) is None
    assert alone.fewer(recommended) is None


def test_the_table_is_bold_inside_and_says_what_was_spared():
    table = lasting.rungs_table(planted())
    shots = table.data["5 shots, %"]
    ours, no_image = (f"lasting method<br><small>{which} images</small>" for which in ("1,000", "inverted"))
    assert shots[ours] == "31.0"
    assert shots[no_image] == "<b>20.5</b>"
    assert shots["range of the Retrains"] == "18.0&nbsp;to&nbsp;22.0"
    assert table.data.loc[no_image, "numbers in Retrain's range"] == "5 of 8", "not D_f, D_ft, relearned without it"
    assert "Not recorded: Spotter, seed 1" in table.to_html() and "Means over 2 seeds" in table.to_html()
    others = lasting.other_rungs_table(planted())
    assert f"{RECOMMENDED.called}: not relearned on 1 of them" in others.to_html()
    assert set(others.data.columns).isdisjoint(table.data.columns)
    assert len(others.data.columns) + len(lasting.HEADLINES) == len(lasting.NUMBERS)
    costs = lasting.costs_table(planted()).data
    assert costs.loc[ours].tolist() == ["10,000", "100", "1,000"]
    assert costs.loc["Retrain"].tolist() == ["1,000,000", "1", "all, with labels"]


def test_steps_that_ended_with_the_looks_are_the_least():
    ended = row("Amnesiac", "published", "amnesiac", 1000, left(0.0, 20.0, steps=128), left(0.0, 20.0, steps=128))
    table = lasting.other_rungs_table(planted(ended))
    assert table.data.loc["Amnesiac", "steps to relearn"] == "≥128.0"
    assert "≥: looking ended there" in table.to_html()
    assert "≥" not in lasting.other_rungs_table(planted()).to_html()


def test_the_picture_has_the_model_before_and_after():
    assert lasting.in_one_picture(planted()) == {
        "Original": 100,
        "Boundary Shrink": 6,
        "Boundary Shrink, after one unlabelled pass": 98,
        "The lasting method, after the same pass": 0.5,
        "Retrain": 0,
    }
    tuned = row(TUNED_TITLE, "lasting", "boundary_shrink", 20_000, left(0, 30))
    bars = lasting.in_one_picture(planted(tuned))
    assert bars is not None and bars["The lasting method, after the same pass"] == 0, "tuned where there are such"
    for draw in (lasting.comes_back, lasting.cost_and_depth):
        figure = draw(planted())
        assert figure is not None
        plt.close(figure)


def test_the_box_says_what_lasts_and_what_does_not():
    words = templates("lasting").in_short(planted())
    assert "**Yes, against re-estimation.**" in words
    assert "Boundary Shrink recognises 98.0 % of $D_f$ again, and the lasting method 0.5 %" in words
    assert "100 times fewer images" in words and "0.5 % (means over 2 seeds)" in words
    assert "**Not wholly, against an auditor with labelled images.** With 5 labelled images, 31 % of $D_{ft}$" in words
    assert "from Retrain 18 to 22 %, and from the original 72 %" in words
    comes_back = Lasting([*planted().rows[:3], row(RECOMMENDED.called, "lasting", "boundary_shrink", 9, left(60, 70))],
                         SEEDS, Gaps(), Gaps(), False, 36)  # fmt: skip
    assert templates("lasting").in_short(comes_back).startswith("**No, against re-estimation.**")
    costs = row(RECOMMENDED.called, "lasting", "boundary_shrink", 9, left(3, 30, remain=79))
    dear = Lasting([*planted().rows[:3], costs], SEEDS, Gaps(), Gaps(), False, 36)
    words = templates("lasting").in_short(dear)
    assert words.startswith("**Not quite, against re-estimation, for 2.0 points of $D_{rt}$.**")


def test_sentences_follow_the_rows():
    told = templates("lasting")
    words = told.inside_and_outside(planted())
    assert "**Lasting method (1,000 images)** lies in the range of the Retrains on 4 of 8 numbers." in words
    assert "Its features keep the class: few labelled images find more than in a Retrain." in words
    more = [row(each.called, "lasting", "boundary_shrink", 9, left(0, shots)) for each, shots in
            zip(lasting.MORE_TRAINING, (33, 32), strict=True)]  # fmt: skip
    assert told.longer(planted()) == ""
    longer = told.longer(planted(*more))
    assert longer.startswith("With five epochs beside 5,000 images, at two higher rates, 5 labelled images find more")
    assert "than with the recommended settings: 33.0 and 32.0 %, not 31.0 %." in longer
    assert "6 and 6 of the 8 numbers lie in Retrain's range, not 4" in longer
    close = row(TUNED_TITLE, "lasting", "boundary_shrink", 60_000, left(0, 20), left(0, 23))
    assert "Its features keep the class" not in told.inside_and_outside(planted(close))
    assert "None of the 1 published methods stays below 10 % of $D_f$" in words
    delete = row("DELETE", "published", "delete", 50_000, left(3, 48, remain=73.5))
    words = told.inside_and_outside(planted(delete))
    assert "Of the 2 published methods, 1 stays below" in words
    assert "beside Retrain, DELETE (seed 0 alone) keeps 7.5 points less" in words
    assert f"**{NO_IMAGE.called}**: 5.0 % of $D_f$" in told.without_images(planted())
    assert "`lr: 0.001`" in told.what_is_recommended(planted())
    cells = told.same_and_tuned(planted())
    assert list(cells.values()) == ["0.5", "81.0", "–", "–", "31.0", "20.0"]


def test_what_the_settings_take_in_seconds_is_told_where_it_is_recorded(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    """Retrain takes 100 seconds, the recommended settings 2, the deep ones 5; in each of two rounds."""
    experiment = small_experiment(tmp_path)
    assert lasting.time_taken(experiment, everything=True) is None, "on other data than those they were chosen for"
    monkeypatch.setattr(lasting, "CHOSEN_FOR", "digits")
    assert lasting.time_taken(experiment) is None, "nobody waits for it"
    asked: list[dict[str, Any]] = []

    def rounds(run: Experiment, count: int) -> list[timing.Round]:
        asked.append(dict(run.config.unlearning[lasting.SHRINK]))
        taken = 5.0 if asked[-1]["adversary"] else 2.0
        return [timing.Round({"retrain": 100.0, lasting.SHRINK: taken}, {"retrain": 50}, MACHINE)] * 2

    monkeypatch.setattr(timing, "cpu_rounds", rounds)
    found = lasting.time_taken(experiment, everything=True)
    assert found is not None and (found.rounds, found.retrain, found.machine) == (2, 100, MACHINE)
    assert list(found.seconds.values()) == [2, 5] and list(found.faster.values()) == [50, 20]
    assert [each["remaining"] for each in asked] == [1000, 5000]
    words = templates("lasting").how_long(found)
    assert words.endswith("Retrain's 100 s are 50 times one epoch.")
    assert "on planted with 2 threads, medians of 2 rounds" in words
    assert "the lasting method (1,000 images) 2 s (Retrain takes 50 times as long)" in words
    assert "of the run CIFAR-10 alone" in templates("lasting").how_long(None)


MACHINE = {"gpu": None, "cpu": "planted", "threads": 2, "precision": "fp32"}


def test_the_ablation_is_of_the_first_replicate_and_folds_away_where_there_is_none():
    assert lasting.ablation_table(planted()) is None
    changed = row(ABLATION[0].called, "ablation", "boundary_shrink", 10_000, left(3, 40))
    table = lasting.ablation_table(planted(changed))
    assert table is not None
    after = table.data.iloc[:, 0].tolist()
    assert after == ["<b>0.0</b>", "3.0"], "0 and 1 % over the seeds, 0 % with the first"
    assert "Seed 0 alone." in table.to_html()


def test_what_a_change_does_follows_from_its_numbers():
    told = templates("lasting").what_each_does
    assert told(planted()) == "Changes of the settings were tried on CIFAR-10 alone."
    changed = [
        row("one", "ablation", "boundary_shrink", 10_000, left(3, 40)),
        row("two", "ablation", "boundary_shrink", 10_000, left(1, 40, remain=77.5)),
        row("three", "ablation", "boundary_shrink", 10_000, left(1, 33, remain=80.5)),
    ]
    words = told(planted(*changed))
    assert "**The class returns** to more than 1.5 % of $D_f$ with: one (3.0 %)." in words
    assert "falls by more than 1 point with: two (3.5 points)." in words
    assert "with: three (+0.5 and +3.0)." in words


def test_images_through_training_are_counted(tmp_path: Path):
    """Of 100 and 900 images: an epoch beside as many again; a search once; inversions in each of their steps."""
    experiment = small_experiment(tmp_path)
    sizes: dict = {"forget": 100, "remain": 900}

    def passes(setting: lasting.Setting) -> int:
        return lasting._of_setting(setting, "lasting", experiment, sizes).passes

    assert passes(FROZEN) == 100
    assert passes(RECOMMENDED) == 100 + 2 * 64, "two batches, each beside 64"
    assert passes(ABLATION[0]) == 100 + 2 * 64 + 100, "nearest labels are searched"
    assert passes(NO_IMAGE) == 100 + 2 * 64 + 256 * 200
    assert passes(lasting.HELD) == 100
    again = lasting._beside("relearned twice", "", relearn_steps=2)
    assert passes(again) == 100 + 2 * 64 + 3 * (50 + 2 * 64), "two steps on one half, and the loss of the other"
    assert lasting._published("retrain", experiment, sizes).passes == 2 * 900
    assert lasting._published("boundary_shrink", experiment, sizes).passes == 2 * 100 + 100


def test_the_rule_takes_the_cheapest_within_the_limits():
    original = row("Original", "original", "original", 1, left(100, 90, remain=90))
    rows = [
        row("comes back", "lasting", "boundary_shrink", 10, left(2, 10, remain=90)),
        row("costs", "lasting", "boundary_shrink", 10, left(0, 10, remain=88)),
        row("cheap", "lasting", "boundary_shrink", 20, left(1, 40, remain=89.5)),
        row("cheap and deep", "lasting", "boundary_shrink", 20, left(1, 30, remain=89.5)),
        row("dear", "lasting", "boundary_shrink", 30, left(0, 5, remain=90)),
    ]
    found = lasting.cheapest([original, *rows])
    assert found is not None and found.called == "cheap and deep"
    assert lasting.cheapest([original, *rows[:2]]) is None


def test_every_setting_is_one_that_its_method_has():
    for setting in (*LASTING, *ABLATION, *lasting.without_replicates("digits"), *lasting.without_replicates("faces")):
        settings = method_settings(setting.method, setting.settings)
        METHODS[setting.method].check(setting.called, settings)
    assert len({setting.called for setting in (*LASTING, *ABLATION)}) == len(LASTING) + len(ABLATION)
    assert TUNED_TITLE in {setting.called for setting in lasting.without_replicates("digits")}
    assert TUNED_TITLE in {setting.called for setting in lasting.without_replicates("faces")}
    assert TUNED_TITLE not in {setting.called for setting in lasting.without_replicates("other")}


def test_the_profile_holds_the_recommended_settings_and_erases_the_row_last():
    config = Config.from_profile("cifar10-lasting")
    wanted = method_settings("boundary_shrink", RECOMMENDED.settings | {"output_row": "erased"})
    assert config.unlearning["boundary_shrink"] == wanted
    trained, released = (Config.from_profile(name) for name in ("cifar10-lasting", "cifar10"))
    for name in ("dataset", "model", "width", "forget_class", "seed", "epochs", "batch_size", "lr", "momentum"):
        assert getattr(trained, name) == getattr(released, name)
    assert (PROFILES / "cifar10-lasting.yml").exists()


def test_a_run_is_tried_where_nothing_is_recorded_and_a_record_says_what_it_lacks(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(lasting, "without_replicates", lambda dataset: (RECOMMENDED,))
    monkeypatch.setattr(lasting, "CLIMBED_HERE", ("original",))
    made = small_experiment(tmp_path / "made")
    made.answered("original")
    monkeypatch.setattr(record, "ROOT", tmp_path / "bare")
    leave_record(made, tmp_path / "bare" / "small")
    with pytest.raises(NotRecorded):
        lasting.measure(small_experiment(tmp_path / "shown"))
    monkeypatch.setattr(record, "ROOT", tmp_path / "none")
    found = lasting.measure(made)
    assert [each.called for each in found.rows] == ["Original", RECOMMENDED.called]
    assert found.unseen == len(made.outputs("original")["forget_test"].labels) and not found.repeats
    assert lasting.chosen(made) is None, "nothing is computed for it"
    monkeypatch.setattr(record, "ROOT", tmp_path / "book")
    leave_record(made, tmp_path / "book" / "small")
    assert lasting.measure(small_experiment(tmp_path / "shown")) == found
    shown = lasting.measure(small_experiment(tmp_path / "shown"), everything=True)
    assert shown.row(RECOMMENDED.called) == found.row(RECOMMENDED.called)
    assert "lasting method (100 images), seed 0" in shown.gaps.not_recorded
    assert shown.untried == Gaps(), "the ablation is of the run that the settings were chosen for"


def test_every_class_is_told_with_its_mean_its_range_and_its_retrain():
    recommended = {"cat": left(0.2, 20.0, remain=82.0), "dog": left(4.0, 20.0, remain=80.0), "deer": left(0.0, 20.0)}
    every = lasting.EveryClass(
        {RECOMMENDED.called: recommended, lasting.DEEP.called: {"cat": left(0.1, 12.0, remain=80.0)}},
        {"cat": left(0.0, 15.0, remain=81.0), "dog": left(0.0, 24.0, remain=81.0)},
        {"cat": left(0.6, 20.0)},
        {"DELETE": {"cat": before_and_after(0.0, 3.0)}, "Spotter": {"cat": before_and_after(0.4, 100.0)}},
        Gaps(["deer, original"]),
    )
    words = templates("lasting").on_every_class(every)
    assert "the recommended settings leave 1.4 (0.0 to 4.0) % of $D_f$" in words
    assert "the mean over 3 classes" in words
    assert "less that of the class's Retrain is +0.0 (-1.0 to +1.0) points" in words
    assert "2 of 3 classes stay at or below 1.5 %" in words
    assert "With the second seed it is 0.6 (0.6 to 0.6) %." in words
    assert "DELETE 3.0 (3.0 to 3.0) % on 1 of 3 classes (it keeps 11.0 (11.0 to 11.0) points of $D_{rt}$ less" in words
    assert words.endswith("Spotter 100.0 (100.0 to 100.0) % on 1 of 3 classes.")
    shown = lasting.classes_table(every)
    assert list(shown.data.index) == ["cat", "dog", "deer"]
    assert "20.0<br><small>15.0</small>" in shown.data.loc["cat"].tolist() and "20.0" in shown.data.loc["deer"].tolist()
    assert list(lasting.classes_table(every, lasting.DEEP).data.index) == ["cat"]
    assert lasting.published_classes_table(every).data.loc["cat"].tolist() == [
        "0.0&nbsp;→&nbsp;3.0<br><small>70.0</small>",
        "0.4&nbsp;→&nbsp;100.0<br><small>70.0</small>",
    ]
    assert "on CIFAR-10 alone" in templates("lasting").on_every_class(None)
    assert lasting.classes_table(None) is lasting.published_classes_table(None) is None


def before_and_after(before: float, after: float) -> BeforeAndAfter:
    """A published method: how much of D_f it recognises, in percent, and 70 % of D_rt."""
    return BeforeAndAfter(*(evaluation(forget, 70) for forget in (before, after)))


def test_what_re_estimation_may_see_is_told_by_the_worst_source():
    def source(name: str, forget: float, remain: float) -> Source:
        return Source(name, 100, 0.0, 0, {"forget_train": forget, "remain_test": remain})

    accuracy = {"forget_train": 0.0, "remain_test": 80.0}
    made = Returned(accuracy, [source("remaining", 0.1, 81.0), source("unseen", 0.3, 79.0), source("noise", 0.9, 40.0)])
    words = templates("lasting").whatever_it_sees(made)
    assert "at most 0.9 % of a sample of $D_f$ come back. That is of 3 sources" in words
    assert "keeps 79.0 to 81.0 %" in words
    assert templates("lasting").whatever_it_sees(None) == ""


def test_a_swap_is_told_with_what_it_costs():
    def said(forget: float, remain: float) -> dict[str, float]:
        return {"forget_train": forget, "remain_train": remain, "remain_test": remain}

    words = templates("lasting").a_swap_is_no_audit(Swap(said(100, 84.5), said(0.5, 80), said(69, 45.5), said(0, 83)))
    assert "recognise 0.5 % of $D_f$" in words
    assert "name 69.0 % of it, and 45.5 % of a sample of $D_{rt}$ rightly, where the original has 84.5 %" in words
    assert "on CIFAR-10 alone" in templates("lasting").a_swap_is_no_audit(None)
