"""Models before and after re-estimation, and what of them comes back: in an experiment, and on planted numbers."""

import pytest

from bu_book.chapters import audit
from bu_book.chapters.audit import Audit, Climbed, ModelAudit
from bu_book.chapters.what_forgets import Curve, CurvePoint, Curves
from bu_book.gaps import Gaps
from bu_book.variations import variations
from bu_core.audits.ladder import RUNGS, Climb, Reading
from bu_core.experiment.experiment import Experiment
from bu_core.experiment.ladder import ladder
from bu_core.experiment.metrics import metrics
from bu_core.experiment.record import NotRecorded
from tests.book import planted
from tests.book.notebooks import templates
from tests.book.planted import evaluation
from tests.helpers import small_experiment


@pytest.fixture(scope="module")
def experiment(tmp_path_factory: pytest.TempPathFactory) -> Experiment:
    changes = [{"model": "allcnn_groupnorm"}, {"forget_class": 7}, {"seed": 1}]
    return small_experiment(tmp_path_factory.mktemp("results"), elsewhere=changes)


def test_every_model_is_there_and_no_more_images_than_there_are(experiment: Experiment):
    made = audit.measure(experiment)
    assert made.images == [100, 1000, len(experiment.split.remain_train)]
    assert list(made.models) == list(experiment.names)
    for model in made.models.values():
        assert list(model.recovered) == made.images
        assert model.after is not None and model.recovered[made.images[-1]] == model.after.accuracy["forget_train"]
    original = metrics(experiment).methods["original"]
    assert made.models["original"].before.accuracy == original.accuracy


def test_retrain_is_the_control(experiment: Experiment):
    """It never learned the class, so there is nothing that could be restored."""
    retrain = audit.measure(experiment).models["retrain"]
    assert set(retrain.recovered.values()) == {0.0}
    assert retrain.outcome == "not restored"


def test_a_model_that_diverged_is_named_and_not_looked_at(experiment: Experiment):
    wild = experiment.with_settings("boundary_shrink", lr=1e30)
    made = audit.measure(wild)
    assert list(made.models) == ["original", "retrain", "boundary_expanding"]
    assert made.gaps.shown() == "Diverged: Boundary Shrink."
    assert "Diverged: Boundary Shrink." in audit.table(made).to_html()


def test_the_comparison_has_a_mean_over_classes_and_one_over_seeds(experiment: Experiment):
    own, over_classes, over_seeds, groupnorm = audit.compared(experiment).rows
    assert groupnorm.called == "allcnn_groupnorm, width 0.1" and groupnorm.statistics is None
    assert [row.called for row in (over_classes, over_seeds)] == [
        f"{own.called}, mean of 2 {unit}" for unit in ("classes", "seeds")
    ]
    runs = variations(experiment).runs
    before = own.methods["boundary_shrink"].before
    for row, run in ((over_classes, runs[2]), (over_seeds, runs[3])):
        assert "retrain" in own.methods and "retrain" not in row.methods
        other = run.recognised("boundary_shrink")
        assert before is not None and other is not None
        assert row.methods["boundary_shrink"].before == pytest.approx((before + other) / 2)


# --- the ladder -----------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def climbed(experiment: Experiment) -> Climbed:
    return audit.climbed(experiment)


def test_models_climb_beside_the_masked_original(experiment: Experiment, climbed: Climbed):
    """One seed, since nothing is recorded: others would take as long again."""
    assert list(climbed.readings) == ["original", "masked", "boundary_shrink", "retrain"]
    assert (climbed.seeds, climbed.retrains, climbed.repeats) == (["seed 0"], 1, False)
    assert climbed.not_climbed == ["boundary_expanding"]
    original = metrics(experiment).methods["original"]
    assert climbed.value("original", "output") == original.accuracy["forget_train"]
    assert climbed.value("masked", "probe") == climbed.value("original", "probe")
    assert climbed.outside("retrain", "output") is None, "it is the measure"


def test_the_heat_map_and_each_rung_are_drawn(climbed: Climbed):
    axes = audit.heat_map(climbed).axes[0]
    assert len(axes.texts) == len(climbed.readings) * len(RUNGS)
    for rung in RUNGS:
        assert len(audit.rung_figure(climbed, rung).axes[0].get_yticklabels()) == len(climbed.readings)


def planted_ladder(seeds: int = 2, **values: float) -> Climbed:
    """Models that recognise so much of D_f, at every rung, beside Retrains from 10 to 20; the original has 100."""

    def read(rung: str, value: float) -> Reading:
        value = value if RUNGS[rung].known == "above" else 100 - value
        low, high = (10.0, 20.0) if RUNGS[rung].known == "above" else (80.0, 90.0)
        side = "below" if value < low else "above" if value > high else "inside"
        return Reading(value, low, high, side, "like retrain" if side == "inside" else "still known", [12.0, 18.0])

    given = {"original": 100.0} | values
    readings = {name: {rung: [read(rung, value)] * seeds for rung in RUNGS} for name, value in given.items()}
    return Climbed(readings, [f"seed {seed}" for seed in range(seeds)], False, [], Gaps())


def test_the_colour_is_the_distance_from_the_range_as_a_share_of_the_originals():
    made = planted_ladder(masked=60.0, boundary_shrink=15.0, finetune=0.0, retrain=10.0)
    for rung in RUNGS:
        found = [made.outside(name, rung) for name in ("original", "masked", "boundary_shrink", "finetune")]
        assert found == pytest.approx([1.0, 0.5, 0.0, -0.125]), "less than Retrain is below 0 on every rung"


def test_a_model_of_fewer_seeds_says_so():
    made = planted_ladder(seeds=3, boundary_shrink=60.0)
    made.readings["boundary_shrink"] = {rung: found[:1] for rung, found in made.readings["boundary_shrink"].items()}
    labels = [label.get_text() for label in audit.heat_map(made).axes[0].get_yticklabels()]
    assert labels == ["Original", "Boundary Shrink (1 of 3 seeds)"]


def test_a_model_is_told_where_most_of_its_seeds_are():
    made = planted_ladder(seeds=3, boundary_shrink=60.0)
    found = made.readings["boundary_shrink"]["probe"]
    like = Reading(15.0, 10.0, 20.0, "inside", "like retrain", [12.0, 18.0])
    made.readings["boundary_shrink"]["probe"] = [like, found[0], found[0]]
    assert made.told_by("boundary_shrink", "probe")
    made.readings["boundary_shrink"]["probe"] = [like, like, found[0]]
    assert not made.told_by("boundary_shrink", "probe")
    assert made.told_apart("boundary_shrink") == [rung for rung in RUNGS if rung != "probe"]


def test_the_box_says_who_is_told_and_by_how_much():
    made = planted_ladder(masked=60.0, boundary_shrink=60.0, boundary_expanding=15.0, retrain=15.0)
    words = templates("audit").in_short(made)
    assert "**1 of 2 unlearned models are told from Retrain** by at least one of the rungs" in words
    assert (
        ", by 8 of the 8. Five labelled images find 15.0 to 60.0 %" in words and "10.0 to 20.0 % in Retrain." in words
    )
    assert "by at least one of the rungs.\n" in templates("audit").in_short(planted_ladder(boundary_shrink=15.0))
    assert "names 60.0 % of $D_f$; it is caught by outputs, re-estimation" in words


def test_the_words_of_a_rung_name_who_lies_outside():
    made = planted_ladder(masked=60.0, boundary_shrink=60.0, boundary_expanding=15.0, retrain=15.0)
    words = templates("audit").found("probe", made)
    assert "the original 100.0, Retrain's range 10.0 to 20.0; outside it: Boundary Shrink 60.0." in words
    words = templates("audit").found("probe", planted_ladder(boundary_shrink=60.0, boundary_expanding=70.0))
    assert words.endswith("all unlearned models lie outside it, at 60.0 to 70.0.")
    words = templates("audit").found("probe", planted_ladder(boundary_shrink=15.0))
    assert words.endswith("no unlearned model lies outside it.")


def test_a_run_that_repeats_this_one_lends_its_ladder(experiment: Experiment, monkeypatch: pytest.MonkeyPatch):
    """Its seeds give the range; where nothing of its models was climbed with, this run's own are."""
    other = experiment.variation(("retrain", "boundary_shrink"), seed=1)
    repeats = {"seed 1": other, "seed 0": experiment.variation(("retrain", "boundary_shrink"))}
    monkeypatch.setattr(audit, "replicates", lambda _: repeats)
    made = audit.climbed(experiment, everything=True)
    assert made.repeats and made.retrains == 2 and made.seeds == ["seed 1", "seed 0"]
    assert list(made.readings) == ["original", "masked", "boundary_shrink", "retrain"]
    assert "of the run that repeats this one's training" in templates("audit").which_models(made)

    def absent(run: Experiment, model: str) -> Climb:
        if run is other:
            raise NotRecorded("ladder")
        return ladder(run, model)

    monkeypatch.setattr(audit, "ladder", absent)
    assert not audit.climbed(experiment).repeats


# --- planted numbers ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("before", "after", "outcome"),
    [
        (0, 10, "not restored"),
        (0, 10.1, "restored"),
        (95, 100, "never gone"),
        (5, 14, "never gone"),
        (60, 3, "not restored"),
    ],
)
def test_the_outcome_follows_from_accuracy_before_and_after(before: float, after: float, outcome: str):
    assert ModelAudit(evaluation(before), evaluation(after), {}).outcome == outcome


def test_the_sentences_name_each_model_under_its_outcome():
    models = {
        "original": ModelAudit(evaluation(100), evaluation(100), {}),
        "retrain": ModelAudit(evaluation(0), evaluation(0), {}),
        "boundary_shrink": ModelAudit(evaluation(9), evaluation(99), {}),
        "boundary_expanding": ModelAudit(evaluation(9), None, {}),
        "finetune": ModelAudit(evaluation(100), evaluation(100), {}),
    }
    words = templates("audit").outcomes(Audit([100, 5000], models, Gaps())).splitlines()
    assert "5,000 images" in words[0]
    assert words[2:] == [
        "- **restored** (above 10 % and above what it was): Boundary Shrink (9.0 to 99.0 %)",
        "- **not restored by re-estimation**: Retrain (0.0 to 0.0 %)",
        "- **was never gone**: Finetune (100.0 to 100.0 %)",
    ]


def curves() -> Curves:
    def point(forget: float, remain: float) -> CurvePoint:
        return CurvePoint(
            {}, {"forget_train": forget, "remain_test": remain} | {"remain_train": 0.0, "forget_test": 0.0}
        )

    standing = [point(99, 90), point(10, 85), point(10, 84.9), point(10.1, 90), point(0, 88)]
    return Curves(
        [
            Curve("boundary_expanding", "train", 1e-3, None, [point(99, 90), point(99, 90)]),
            Curve("boundary_shrink", "frozen", 1e-2, 0.1, standing),
        ],
        {},
        Gaps(),
    )


def test_survivors_forget_after_reestimation_and_cost_little():
    points = audit.survivors(curves(), recognised=10, cost=5)
    named = [(point.method, point.epoch) for point in points]
    assert named == [("boundary_shrink", 4), ("boundary_shrink", 1)], "the cheapest first"
    assert (points[0].accuracy["forget_train"], points[0].accuracy["remain_test"]) == (0, 88)
    table = audit.survivors_table(curves())
    assert table is not None and table.data["epochs"].tolist() == ["4"], "of each kind the cheapest"
    words = templates("audit").whether_one_stays(curves())
    assert words.startswith("2 of the points on the curves stay at or below 10 % of $D_f$")
    assert "not recorded" in words
    assert table.data["on images that it was not chosen on"].tolist() == ["not recorded"]


def test_a_setting_is_chosen_on_one_half_and_looked_at_on_the_other():
    """The first point is lucky on the half of the choice, the second is not chosen, the third stays."""

    def point(*halves: tuple[float, float]) -> CurvePoint:
        both = [{"forget_train": forget, "remain_test": remain, "remain_train": 0.0, "forget_test": 0.0}
                for forget, remain in halves]  # fmt: skip
        return CurvePoint({}, {}, both)

    points = [point((99, 90), (99, 91)), point((9, 90), (30, 90)), point((30, 90), (0, 90)), point((10, 86), (5, 86))]
    made = Curves([Curve("boundary_shrink", "frozen", 1e-2, 0.1, points)], {}, Gaps())
    found = audit.survivors(made, recognised=10, cost=5)
    assert [(each.epoch, each.stays, each.accuracy["forget_train"]) for each in found] == [(1, False, 30), (3, True, 5)]
    table = audit.survivors_table(made).data
    assert table["on images that it was not chosen on"].tolist() == ["beyond the limits"]
    words = templates("audit").whether_one_stays(made)
    assert "1 of these 2" in words


def test_where_no_setting_stays_the_page_says_so():
    none = Curves(curves().curves[:1], {}, Gaps())
    assert audit.survivors_table(none) is None
    assert templates("audit").whether_one_stays(none).startswith("**No** setting that was tried stays at or below")


def test_a_row_that_is_not_recorded_after_reestimation_has_a_dash():
    made = Audit(
        [100], {"boundary_shrink": ModelAudit(evaluation(9), None, {})}, Gaps(["Boundary Shrink after 100 images"])
    )
    assert audit.in_short(made) == {"Boundary Shrink": "9.0 → <b>–</b>"}
    assert "Not recorded: Boundary Shrink after 100 images." in audit.table(made).to_html()
    assert len(audit.chart(made).axes[0].lines) == 1, "the mark before, and no line to another"


def test_the_comparison_takes_no_model_of_another_run_for_its_own():
    """Where the own run is not recorded, the first row is a variation, and has no Retrain."""
    made = planted.variations(planted.variation({"boundary_shrink": evaluation(9)}, changed=("seed",), seed=1))
    (row,) = audit._rows(made, Audit([100], {"retrain": ModelAudit(evaluation(0), evaluation(0), {})}, Gaps()))
    assert row.called == "own, seed 1" and list(row.methods) == ["boundary_shrink"]
