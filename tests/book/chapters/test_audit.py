"""Models before and after re-estimation, and what of them comes back: in an experiment, and on planted numbers."""

from dataclasses import replace
from pathlib import Path

import pytest
import torch

from bu_book.chapters import audit
from bu_book.chapters.audit import Audit, Climbed, ModelAudit, SingleImages
from bu_book.chapters.what_forgets import Curve, CurvePoint, Curves
from bu_book.claims import CannotTest
from bu_book.gaps import Gaps
from bu_book.measured.per_sample import PerSample, SampleScores
from bu_book.style import as_svg
from bu_book.variations import STATISTICS_ALONE, variations
from bu_core.audits.ladder import RUNGS, Climb, Reading
from bu_core.audits.relearning import LOOKS
from bu_core.config import Config
from bu_core.experiment.experiment import Experiment
from bu_core.experiment.ladder import ladder
from bu_core.experiment.metrics import evaluation as evaluate
from bu_core.experiment.metrics import metrics
from bu_core.experiment.record import NotRecorded
from tests.book import planted
from tests.book.notebooks import templates
from tests.book.planted import evaluation
from tests.helpers import small_experiment

pytestmark = pytest.mark.usefixtures("few_steps")


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
    assert climbed.gaps.shown() == ""
    original = metrics(experiment).methods["original"]
    assert climbed.value("original", "output") == original.accuracy["forget_train"]
    assert climbed.value("masked", "probe") == climbed.value("original", "probe")
    assert climbed.outside("retrain", "output") is None, "it is the measure"


def test_the_caption_says_of_how_many_retrains_the_range_is(climbed: Climbed):
    words = templates("audit").which_models(climbed)
    assert words.startswith(
        "One seed; the range is that of one Retrain, with a slack at either end. Rung 4 has no verdict: it needs two."
    )
    assert "Not climbed with here, to save time: Boundary Expanding." in words and "A dash" not in words
    assert "the untouched original" not in words, "a single Retrain has no range on the rung that does not tell it"


def test_the_caption_names_the_rungs_that_do_not_even_tell_the_original():
    made = planted_ladder(boundary_shrink=60.0, retrain=15.0)
    made.readings["original"]["probe"] = [Reading(15.0, 10.0, 20.0, "inside", "like retrain", [12.0, 18.0])] * 2
    said = templates("audit").which_models(made)
    assert "These rungs do not tell even the untouched original from Retrain: linear probe." in said


def test_with_everything_the_drifted_original_and_the_lasting_method_climb_as_well(experiment: Experiment):
    run = experiment.variation(("retrain", "boundary_shrink"))
    made = audit.climbed(run, everything=True)
    alone = evaluate(run.with_settings("boundary_shrink", **STATISTICS_ALONE), "boundary_shrink")
    assert list(made.readings) == [
        "original",
        "masked",
        "drifted",
        "boundary_shrink",
        "lasting",
        "lasting_alone",
        "retrain",
    ]
    assert made.value("drifted", "output") == alone.accuracy["forget_train"]
    assert made.value("drifted", "reestimation") == made.value("original", "reestimation"), "no weight moved"
    assert made.value("drifted", "relearn_few") is None and not made.told_by("drifted", "relearn_few"), "not climbed"
    assert made.summaries["boundary_shrink"] and not made.summaries["drifted"]
    text = templates("audit").which_models(made)
    assert "A dash: not climbed, since re-estimation had told enough." in text
    assert len(audit.heat_map(made).axes[0].get_yticklabels()) == len(made.readings) + 3, "Retrain has four"


def test_a_network_without_statistics_cannot_drift(experiment: Experiment):
    """And re-estimation leaves it as it is; only a recorded run shows it, and only with the methods of variations."""
    assert audit.without_statistics(experiment) == []
    (groupnorm,) = audit.without_statistics(experiment, everything=True)
    assert groupnorm.config.model == "allcnn_groupnorm"
    assert groupnorm.config.methods == ("retrain", "boundary_shrink", "boundary_expanding")
    only = groupnorm.variation(("retrain",))
    made = audit.climbed(only, everything=True)
    assert list(made.readings) == ["original", "masked", "retrain"]
    assert made.value("original", "reestimation") == made.value("original", "output")


def test_the_heat_map_and_each_rung_are_drawn(climbed: Climbed):
    axes = audit.heat_map(climbed).axes[0]
    labels = [label.get_text() for label in axes.get_yticklabels()]
    assert labels == ["Original", "Masked original", "Boundary Shrink", "Retrain from", "to", "with slack from", "to"]
    assert len(axes.texts) == len(labels) * len(RUNGS)
    steps = [text.get_text() for text in axes.texts if text.get_position()[0] == len(RUNGS) - 1]
    ends = (*climbed.measured("relearn_few"), *climbed.range("relearn_few"))
    assert steps[-4:] == [f"{end:.0f}" for end in ends] and ends[2] < ends[0] == ends[1] < ends[3]
    for rung in RUNGS:
        assert len(audit.rung_figure(climbed, rung).axes[0].get_yticklabels()) == len(climbed.readings)


def test_a_phone_shows_the_heat_map_whole():
    """Others keep the width that they were drawn at, and scroll."""
    assert 'class="narrow"' in as_svg(audit.heat_map(planted_ladder(boundary_shrink=15.0)), "a heat map")
    assert 'class="narrow"' not in as_svg(audit.chart(Audit([], {}, Gaps())), "a chart")


def planted_ladder(seeds: int = 2, **values: float) -> Climbed:
    """Models that recognise so much of D_f, at every rung, beside Retrains from 10 to 20; the original has 100."""

    def read(rung: str, value: float) -> Reading:
        value = value if RUNGS[rung].known == "above" else 100 - value
        low, high = (10.0, 20.0) if RUNGS[rung].known == "above" else (80.0, 90.0)
        side = "below" if value < low else "above" if value > high else "inside"
        return Reading(value, low, high, side, "like retrain" if side == "inside" else "still known", [12.0, 18.0])

    given = {"original": 100.0} | values
    readings = {name: {rung: [read(rung, value)] * seeds for rung in RUNGS} for name, value in given.items()}
    return Climbed(readings, {}, [f"seed {seed}" for seed in range(seeds)], False, [], Gaps())


def test_the_colour_is_the_distance_from_the_range_as_a_share_of_the_originals():
    made = planted_ladder(masked=60.0, boundary_shrink=15.0, finetune=0.0, retrain=10.0)
    for rung in RUNGS:
        found = [made.outside(name, rung) for name in ("original", "masked", "boundary_shrink", "finetune")]
        assert found == pytest.approx([1.0, 0.5, 0.0, -0.125]), "less than Retrain is below 0 on every rung"


def test_what_is_told_is_bold_and_lines_part_the_kinds_of_rows():
    made = planted_ladder(masked=60.0, boundary_shrink=15.0, finetune=60.0, lasting=15.0, retrain=15.0)
    axes = audit.heat_map(made).axes[0]
    bold = [text.get_position()[1] for text in axes.texts if text.get_weight() == "bold"]
    assert bold == [row for row in (0, 1, 3) for _ in RUNGS]
    assert [line.get_ydata()[0] for line in axes.lines] == [0.5, 1.5, 3.5, 4.5]


def test_a_model_of_fewer_seeds_says_so():
    made = planted_ladder(seeds=3, boundary_shrink=60.0)
    made.readings["boundary_shrink"] = {rung: found[:1] for rung, found in made.readings["boundary_shrink"].items()}
    labels = [label.get_text() for label in audit.heat_map(made).axes[0].get_yticklabels()]
    assert labels == ["Original", "Boundary Shrink\n(1 of 3 seeds)"]


def test_steps_that_ended_with_the_looks_are_the_least():
    made = planted_ladder(boundary_shrink=60.0, amnesiac=60.0)
    ended = Reading(float(LOOKS[-1]), 50.0, 64.0, "above", "still known", [50.0, 64.0])
    made.readings["amnesiac"]["relearn_few"] = [ended, ended]
    made.readings["amnesiac"]["probe"] = [ended, ended]
    texts = [text.get_text() for text in audit.heat_map(made).axes[0].texts]
    assert [text for text in texts if text.startswith("≥")] == [f"≥{LOOKS[-1]}"], "no percentage is one"
    cells = audit.every_number(made).data["Relearning on few, steps"]
    assert cells["Amnesiac"] == f"<b>≥{LOOKS[-1]} ({LOOKS[-1]}–{LOOKS[-1]})</b>" and "≥" not in cells["Boundary Shrink"]
    assert "looking ended there, before half" in templates("audit").which_models(made)


def test_a_model_is_told_where_most_of_its_seeds_are():
    made = planted_ladder(seeds=3, boundary_shrink=60.0)
    found = made.readings["boundary_shrink"]["probe"]
    like = Reading(15.0, 10.0, 20.0, "inside", "like retrain", [12.0, 18.0])
    spared = Reading(None, 10.0, 20.0, None, "not climbed", [12.0, 18.0])
    for seeds, told in (
        ([like, found[0], found[0]], True),
        ([like, like, found[0]], False),
        ([spared, spared, found[0]], True),
        ([spared, like, found[0]], False),
    ):
        made.readings["boundary_shrink"]["probe"] = seeds
        assert made.told_by("boundary_shrink", "probe") == told
    made.readings["boundary_shrink"]["probe"] = [like] * 3
    assert made.told_apart("boundary_shrink") == [rung for rung in RUNGS if rung != "probe"]
    made.readings["boundary_shrink"]["probe"] = [spared, like, found[0]]
    assert made.value("boundary_shrink", "probe") == (15 + 60) / 2, "of those that climbed"


def test_the_control_counts_the_retrains_that_are_told_from_the_others():
    """Of the planted Retrains one lies in the range, one in its slack, and one beyond."""
    made = planted_ladder(seeds=3, retrain=15.0)
    for rung, found in made.readings["retrain"].items():
        if RUNGS[rung].known == "above":
            found[1] = Reading(19.0, 10.0, 20.0, "inside", "like retrain", [12.0, 18.0])
            found[2] = Reading(21.0, 10.0, 20.0, "above", "still known", [12.0, 18.0])
        else:
            made.readings["retrain"][rung] = [Reading(85.0, 80.0, 90.0, "inside", "like retrain", [82.0, 88.0])] * 3
    more = len(RUNGS) - 1
    assert made.control == audit.Control(readings=3 * len(RUNGS), told=more, without_slack=2 * more, caught=1)
    words = templates("audit").control(made)
    assert f"Of 24 values {more} lie outside the range with its slack; without the slack {2 * more} would." in words
    assert "One audit at least tells 1 of the 3 from the others" in words
    two = planted_ladder(retrain=15.0)
    assert two.control is None and templates("audit").control(two) == ""


def test_every_number_stands_with_its_ends_and_bold_where_it_is_told():
    made = planted_ladder(boundary_shrink=60.0, lasting=15.0, retrain=15.0)
    other = Reading(63.0, 10.0, 20.0, "above", "still known", [12.0, 18.0])
    made.readings["boundary_shrink"]["probe"][1] = other
    table = audit.every_number(made).data
    probe = next(column for column in table if column.startswith("Linear probe"))
    assert table[probe].to_dict() == {
        "Original": "<b>100.0 (100.0–100.0)</b>",
        "Boundary Shrink": "<b>61.5 (60.0–63.0)</b>",
        "Lasting method": "15.0 (15.0–15.0)",
        "Retrain": "15.0 (15.0–15.0)",
    }
    alone = audit.every_number(planted_ladder(seeds=1, boundary_shrink=60.0)).data
    assert alone[probe]["Boundary Shrink"] == "<b>60.0</b>", "no ends of a single seed"


def test_the_anamnesis_index_is_the_time_to_relearn_in_that_of_retrain():
    made = planted_ladder(boundary_shrink=60.0, retrain=20.0)
    steps = made.value("boundary_shrink", "relearn_few"), made.value("retrain", "relearn_few")
    assert made.anamnesis_index("boundary_shrink") == steps[0] / steps[1]
    words = templates("audit").anamnesis(made)
    assert f"hidden further: Boundary Shrink {steps[0] / steps[1]:.2f}. Its authors" in words
    assert planted_ladder(boundary_shrink=60.0).anamnesis_index("boundary_shrink") is None, "without Retrain"
    assert templates("audit").anamnesis(planted_ladder(boundary_shrink=60.0)) == ""


def test_what_the_output_row_does_is_told_of_every_seed_that_has_it(tmp_path):
    words = templates("audit").of_the_row(audit.Exchanged([20, 25], [25, 32]))
    assert "(2 seeds)" in words and "Retrain's row needs 20 to 25 steps" in words and "at zero 25 to 32." in words
    assert templates("audit").of_the_row(None) == ""
    assert audit.exchanged(small_experiment(tmp_path, methods=("retrain",))) is None, "nothing is computed for it"


def test_the_summaries_are_those_of_whole_climbs(climbed: Climbed):
    table = audit.summaries_table(climbed, note="what they are").data
    assert list(table.index) == ["Original", "Masked original", "Boundary Shrink", "Retrain"]
    found = climbed.summaries["boundary_shrink"][0]
    assert table["ToW"]["Boundary Shrink"] == f"{found.tug_of_war:.2f}" and table["ToW"]["Retrain"] == "–"
    assert audit.summaries_table(planted_ladder()) is None


def test_the_box_says_what_comes_back_and_who_is_told_by_how_much():
    made = planted_ladder(masked=60.0, boundary_shrink=60.0, boundary_expanding=15.0, retrain=15.0, lasting=15.0)
    words = templates("audit").in_short(made)
    assert words.startswith("**It does, with 2 of the 2 published methods that climb here**: one unlabelled pass over")
    assert "brings back 15.0 to 60.0 % of the images to forget. 8 audits compare each model with Retrain" in words
    assert "1 of 2 methods fails 8 of them; our lasting method, before its output row is erased, fails none. " in words
    assert (
        "recognises 60.0 % of unseen images of the class, in Retrain 12.0 to 18.0 %, in the lasting method's" in words
    )
    assert words.endswith("model 15.0 %. ")
    none = templates("audit").in_short(planted_ladder(boundary_shrink=10.0))
    assert none.startswith("**Not by re-estimation.** 8 audits") and none.endswith("No method fails one. ")
    both = templates("audit").in_short(planted_ladder(boundary_shrink=60.0, boundary_expanding=70.0))
    assert "Every published method fails 8 of them. With five" in both


def test_a_ladder_of_other_networks_names_the_model_that_differs_most(experiment: Experiment, climbed: Climbed):
    said = "The models of this ladder were trained once more, on another machine"
    assert climbed.apart is None and said not in templates("audit").which_models(climbed)
    words = templates("audit").which_models(replace(climbed, apart=("finetune", 60.4)))
    assert said in words and "differs most for Finetune, by 60 points with one seed." in words
    shown = climbed.readings["boundary_shrink"]["output"][0]
    assert shown.value is not None
    runs = list(audit.replicates(experiment).values())[:1]
    for away, found in ((0.5, None), (30.0, ("boundary_shrink", pytest.approx(30.0)))):
        other = {"boundary_shrink": {"output": [replace(shown, value=shown.value + away)]}}
        assert audit._apart(runs, other) == found


def test_the_words_of_a_rung_name_who_lies_outside():
    def words(**values: float) -> str:
        return templates("audit").found("probe", planted_ladder(**values))

    few = words(masked=60.0, boundary_shrink=60.0, boundary_expanding=15.0, retrain=15.0)
    told = "Retrain 12.0 to 18.0, with the slack 10.0 to 20.0. Outside on most seeds: "
    assert few.endswith(f"the original 100.0, {told}Boundary Shrink 60.0.")
    assert words(boundary_shrink=15.0, lasting=16.0).endswith("seeds: no method. The lasting method: 16.0, inside.")
    by_slack = words(boundary_shrink=15.0, lasting=19.0)
    assert by_slack.endswith("The lasting method: 19.0, inside only thanks to the slack.")
    four = {"boundary_shrink": 60.0, "boundary_expanding": 70.0, "random_labels": 61.0, "spotter": 65.0}
    assert words(**four).endswith("seeds: all methods, 60.0 to 70.0.")
    assert words(**four, finetune=15.0).endswith("seeds: all methods but Finetune, 60.0 to 70.0.")
    three = {"finetune": 15.0, "delete": 15.0, "fisher": 15.0}
    outside = words(**four, **three, lasting=30.0)
    told = "The lasting method: 30.0, outside this range: more of the class is there."
    assert outside.endswith(f"4 methods, 60.0 to 70.0. {told}")
    assert words(lasting=3.0).endswith("outside this range: it hides more than a Retrain does.")


def test_a_run_that_repeats_this_one_lends_its_ladder(experiment: Experiment, monkeypatch: pytest.MonkeyPatch):
    """Its seeds give the range; where nothing of its models was climbed with, this run's own are."""
    other = experiment.variation(("retrain", "boundary_shrink"), seed=1)
    repeats = {"seed 1": other, "seed 0": experiment.variation(("retrain", "boundary_shrink"))}
    monkeypatch.setattr(audit, "replicates", lambda _: repeats)
    made = audit.climbed(experiment)
    assert made.repeats and made.retrains == 2 and made.seeds == ["seed 1", "seed 0"]
    assert list(made.readings) == ["original", "masked", "boundary_shrink", "retrain"]
    assert "of the run that repeats this one's training" in templates("audit").which_models(made)

    def absent(run: Experiment, model: str) -> Climb:
        if run is other:
            raise NotRecorded("ladder")
        return ladder(run, model)

    monkeypatch.setattr(audit, "ladder", absent)
    assert not audit.climbed(experiment).repeats


def test_a_seed_with_which_nothing_climbed_does_not_count(experiment: Experiment, monkeypatch: pytest.MonkeyPatch):
    """Otherwise each row would say that it is of one of several seeds."""
    other = experiment.variation(("retrain", "boundary_shrink"), seed=1)
    both = {"seed 0": experiment.variation(("retrain", "boundary_shrink")), "seed 1": other}
    monkeypatch.setattr(audit, "replicates", lambda _: both)

    def absent(run: Experiment, model: str) -> Climb:
        if run is other:
            raise NotRecorded("ladder")
        return ladder(run, model)

    monkeypatch.setattr(audit, "ladder", absent)
    made = audit.climbed(experiment)
    assert made.seeds == ["seed 0"] and made.fewer("boundary_shrink") == ""


# --- single images --------------------------------------------------------------------------------------------------


def scores(u_lira: float, spread: float = 0.0) -> SampleScores:
    """Of five images, whose AUC differ by so much."""
    auc = u_lira + spread * torch.tensor([-2.0, -1.0, 0.0, 1.0, 2.0])
    return SampleScores(auc, auc, torch.full((5,), 3.0), torch.full((5,), 1.0))


SINGLE = SingleImages(
    {
        "original": PerSample(8, scores(1.0), scores(0.99)),
        "boundary_shrink": PerSample(8, scores(0.88, 0.05), scores(0.8)),
        "retrain": PerSample(8, scores(0.5), scores(0.52)),
    },
    Gaps(["Boundary Expanding"]),
)


def test_single_images_are_told_by_medians_and_beside_the_null():
    words = templates("audit").one_by_one(SINGLE)
    assert words == (
        "For the median image of $D_f$ the AUC is 0.88 for Boundary Shrink, and 0.50 for further Retrains. For that of "
        "$D_{ft}$, images that no model trained on, it is 0.80. What $D_f$ has beyond that, up to 0.08, is memory of "
        "single images."
    )
    alike = {"boundary_shrink": PerSample(8, scores(0.88), scores(0.87)), "original": SINGLE.kinds["original"]}
    words = templates("audit").one_by_one(SingleImages(alike, Gaps()))
    assert words.endswith(
        "it is 0.87. **So what is found is knowledge of the class**, and not memory of single images."
    )
    axes = audit.single_images_figure(SINGLE).axes[0]
    dots = [line for line in axes.lines if line.get_marker() == "o"]
    assert [len(line.get_xdata()) for line in dots] == [5] * 6
    table = audit.single_images_table(SINGLE, "Medians.")
    assert table.data["U-LiRA, AUC"].tolist() == ["1.00", "0.99", "0.88", "0.80", "0.50", "0.52"]
    assert table.data["images above 0.9, %"].tolist() == ["100", "100", "40", "0", "0", "0"]
    assert "Medians. Not recorded: Boundary Expanding." in table.to_html()


def test_single_images_are_read_from_a_record_alone(experiment: Experiment, monkeypatch: pytest.MonkeyPatch):
    """They take dozens of trainings, which nobody waits for who opens a page."""
    monkeypatch.setattr(audit, "per_sample", lambda *_: pytest.fail("models were trained"))
    with pytest.raises(NotRecorded, match="single images"):
        audit.single_images(experiment)
    monkeypatch.setattr(audit, "per_sample", lambda _, name: SINGLE.kinds["retrain"])
    assert list(audit.single_images(experiment, everything=True).kinds) == list(audit.ASKED_SINGLY)


def test_a_record_that_is_not_to_have_single_images_says_who_has_them(tmp_path: Path):
    """To compute the record anew would not give them either."""
    run = Experiment(Config.from_profile("cifar10", results_dir=str(tmp_path / "cifar10")))
    assert run.record
    with pytest.raises(CannotTest, match="only on the digits did we train so many models"):
        audit.single_images(run)


def test_a_record_keeps_single_images_where_it_is_asked_to(experiment: Experiment, monkeypatch: pytest.MonkeyPatch):
    asked: list[str] = []
    monkeypatch.setattr(audit, "climbed", lambda run, everything: asked.append(run.config.model))
    monkeypatch.setattr(audit, "single_images", lambda run, everything: asked.append("single images"))
    audit.record(experiment, singly=False)
    assert asked == ["allcnn", "allcnn_groupnorm"]
    audit.record(experiment, singly=True)
    assert asked[2:] == ["allcnn", "allcnn_groupnorm", "single images"]


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
        "- **restored** (above 10 % and above what it was): Boundary Shrink",
        "- **not restored by re-estimation**: Retrain",
        "- **was never gone**: Finetune",
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
