"""Runs and their variations: what an experiment finds there, what a record lacks, and tables of planted numbers."""

import shutil
from pathlib import Path
from typing import Any

import pytest

from bu_book.chapters import audit, what_forgets
from bu_book.paper import table_1
from bu_book.variations import (
    BOUNDARY_METHODS,
    Variation,
    each_table,
    table,
    trainings,
    trainings_table,
    variations,
)
from bu_core import measures
from bu_core.config import Config
from bu_core.experiment.experiment import Experiment
from bu_core.experiment.measurement import Measurement
from bu_core.experiment.metrics import evaluation as evaluate
from bu_core.experiment.metrics import metrics
from bu_core.experiment.record import NotRecorded
from tests.book import planted
from tests.book.notebooks import templates
from tests.book.planted import evaluation
from tests.helpers import refusal, small_experiment

CHANGES: list[dict[str, Any]] = [
    {"model": "allcnn_groupnorm"}, {"width": 0.2, "epochs": 3, "lr": 0.05}, {"forget_class": 7},
    {"seed": 1, "precision": "bf16"}, {"seed": 1},
]  # fmt: skip


@pytest.fixture(scope="module")
def experiment(tmp_path_factory: pytest.TempPathFactory) -> Experiment:
    return small_experiment(tmp_path_factory.mktemp("results"), elsewhere=CHANGES)


@pytest.fixture
def record(experiment: Experiment, tmp_path: Path) -> Experiment:
    """The same, once everything was computed, with a store that refuses to compute anything, as a record's does."""
    variations(experiment), audit.measure(experiment)
    folder = tmp_path / "results"
    shutil.copytree(experiment.folder, folder)
    copied = small_experiment(folder, elsewhere=CHANGES)
    copied.store.refuse = NotRecorded
    return copied


def lose(experiment: Experiment, asked: Measurement, model: str, *given: Any) -> None:
    """Take one result from the store."""
    experiment.store.path(f"{asked.name}-{model}", asked.key(experiment, model, *given)).unlink()


# --- in an experiment -----------------------------------------------------------------------------------------------


@pytest.mark.slow
def test_the_first_is_the_experiment_itself(experiment: Experiment):
    own, models = variations(experiment).runs[0], audit.measure(experiment).models
    assert (own.changed, own.model, own.forget_class, own.seed) == ((), "allcnn, width 0.1", "4", 0)
    alone = what_forgets.components(experiment).methods["boundary_shrink"]["statistics"]
    assert own.statistics == alone.evaluation
    for name in BOUNDARY_METHODS:
        assert (own.methods[name].before, own.methods[name].after) == (models[name].before, models[name].after)


@pytest.mark.parametrize("number", range(1, 1 + len(CHANGES)))
def test_a_variation_is_what_an_experiment_with_that_change_finds(experiment: Experiment, number: int):
    change = experiment.config.elsewhere[number - 1]
    run = variations(experiment).runs[number]
    assert run.changed == tuple(change)
    there = Experiment(Config.from_mapping(experiment.config.as_dict() | {"elsewhere": []} | dict(change)))
    accuracies = {name: each.accuracy for name, each in metrics(there).methods.items()}
    assert run.original.accuracy == accuracies["original"]
    assert set(run.methods) == set(BOUNDARY_METHODS)
    for name, each in run.methods.items():
        assert each.before.accuracy == accuracies[name]
    if "model" in change:
        assert not run.keeps_statistics and run.statistics is None, "GroupNorm keeps none"
        assert all(each.before == each.after for each in run.methods.values())
    else:
        assert run.statistics is not None
        alone = there.with_settings("boundary_expanding", lr=0.0).outputs("boundary_expanding")
        assert run.statistics.accuracy["forget_train"] == measures.accuracy(alone["forget_train"])


def test_nothing_is_missing_where_everything_was_computed(experiment: Experiment, record: Experiment):
    assert variations(record) == variations(experiment)
    assert variations(record).gaps.shown() == ""


def test_a_variation_that_is_not_recorded_is_named_and_the_others_stay(record: Experiment):
    lose(record.variation(["boundary_shrink"], seed=1), evaluate, "original")
    made = variations(record)
    assert [run.changed for run in made.runs] == [(), *(tuple(change) for change in CHANGES[:4])]
    assert made.gaps.shown() == "Not recorded: allcnn, width 0.1, seed 1, 4."
    assert "Not recorded: allcnn, width 0.1, seed 1, 4." in table(made).to_html()


def test_a_method_and_a_reestimation_that_are_not_recorded_are_named(record: Experiment):
    there = record.variation(["boundary_shrink"], forget_class=7)
    lose(there, evaluate, "boundary_shrink")
    lose(record, evaluate, "boundary_expanding", audit.most_images(record))
    (
        own,
        *_,
    ) = variations(record).runs
    other = variations(record).runs[3]
    assert set(other.methods) == {"boundary_expanding"}
    assert own.recognised("boundary_expanding", "after") is None and own.recognised("boundary_expanding") is not None
    assert variations(record).gaps.not_recorded == [
        "Boundary Expanding of allcnn, width 0.1, seed 0, 4 after re-estimation",
        "Boundary Shrink of allcnn, width 0.1, seed 0, 7",
    ]
    rows = audit.compared(record).rows
    assert rows[0].methods["boundary_expanding"].after is None
    assert set(rows[1].methods) == {"boundary_expanding"}, "no mean over what one of them lacks"
    assert "–" in audit.compared_table(audit.compared(record)).to_html()


def test_a_record_of_nothing_raises(tmp_path: Path, experiment: Experiment, record: Experiment):
    for path in record.store.folder.glob("evaluation-*"):
        path.unlink()
    with pytest.raises(NotRecorded):
        variations(record)
    with pytest.raises(NotRecorded):
        audit.measure(record)


# --- planted numbers ------------------------------------------------------------------------------------------------


def run(
    model: str, changed: list[str], statistics: float | None, shrink: float, expanding: float, test: float = 90
) -> Variation:
    return planted.variation(
        {"boundary_shrink": evaluation(shrink, 78), "boundary_expanding": evaluation(expanding, 73.5)},
        model=model, changed=tuple(changed), original=evaluation(100, test),
        statistics=None if statistics is None else evaluation(statistics),
        forget_class=str("forget_class" in changed), seed=8 if "seed" in changed else 7,
    )  # fmt: skip


RUNS = (
    run("own", [], 10, 0, 5),
    run("frozen", ["model"], None, 40, 20),
    run("exact", ["precision"], 50, 0, 0, test=80),
    run("own", ["forget_class"], 20, 0, 5),
    run("longer", ["epochs"], 10, 0, 5),
    run("longer", ["epochs", "forget_class"], 20, 5, 0),
    run("own", ["seed"], 10, 0, 5, test=80),
    run("own", ["seed", "forget_class"], 90, 90, 90),
)


def test_the_sentences_on_variations_hold_what_was_planted():
    words = templates("what_forgets").in_each_variation(planted.variations(*RUNS)).splitlines()
    for line, said in zip(
        words,
        [
            ("**own**, over 2 classes", "+5.0 ± 0.0 points", "is settled",
             "After re-estimation, Shrink's models recognise 0.0 ± 0.0 % of $D_f$, Expanding's 5.0 ± 0.0 %."),
            ("**own**, over 2 seeds", "+5.0 ± 0.0 points", "is settled",
             "After re-estimation, Shrink's models recognise 0.0 ± 0.0 % of $D_f$, Expanding's 5.0 ± 0.0 %."),
            ("**frozen**", "Shrink takes the accuracy on $D_f$ to 40.0 %", "costs 12.0 points",
             "Expanding takes the accuracy on $D_f$ to 20.0 %", "16.5 points"),
            ("**exact**", "Shrink takes the accuracy on $D_f$ to 0.0 % (after re-estimation 0.0 %) and costs"),
            ("**longer**, over 2 classes", "+0.0 ± 63.5 points", "not settled"),
            ("91.0 % (seed 7, bf16)", "86.5 ± 57.2 % over 2 seeds, 82.0 % as *exact*"),
        ],
        strict=True,
    ):  # fmt: skip
        assert all(part in line for part in said), line


def test_the_table_has_means_over_classes_and_over_seeds():
    made = table(planted.variations(*RUNS)).data
    assert [model for model, _ in made.index] == ["own", "own", "own", "frozen", "exact", "longer", "longer"]
    means = [model for model, forgets in made.index if forgets == "mean of 2 classes"]
    assert means == ["own", "longer"]
    cell = made.loc[("own", "mean of 2 classes"), "statistics alone, %"]
    assert cell == "15.0&nbsp;±&nbsp;63.5 /<br>80.0&nbsp;±&nbsp;0.0"
    cell = made.loc[("own", "mean of 2 seeds"), "statistics alone, %"]
    assert cell == "10.0&nbsp;±&nbsp;0.0 /<br>80.0&nbsp;±&nbsp;0.0"


def test_the_table_of_each_class_and_seed_has_the_models_with_several():
    each = each_table(planted.variations(*RUNS))
    assert each is not None
    own = [("own", which) for which in ("False", "True", "False, seed 8", "True, seed 8")]
    assert list(each.data.index) == [*own, ("longer", "False"), ("longer", "True")]
    recognised = [10, 20, 10, 90, 10, 20]
    assert list(each.data["statistics alone, %"]) == [f"{value}.0&nbsp;/&nbsp;80.0" for value in recognised]
    assert each_table(planted.variations(*RUNS[:3])) is None


def test_the_name_of_a_person_is_no_markup():
    """A folder of people may hold any name."""
    made = planted.variations(planted.variation({}, forget_class="<b>$x$"))
    assert "<b>$x$" not in table(made).to_html() and "&lt;b&gt;$x$" in table(made).to_html()


def test_the_nearest_training_is_the_one_with_the_papers_numbers():
    """Runs that hold Table 1 itself, and one that lies 3 points beside it on training images and 1 on test images."""
    theirs = table_1("cifar10").accuracy
    names = ("boundary_shrink", "boundary_expanding", "random_labels")

    def trained(changed: tuple[str, ...], beside: dict[str, float]) -> Variation:
        made = {
            name: evaluation(0, **{part: value + beside.get(part, 0) for part, value in theirs[name].items()})
            for name in ("original", *names)
        }
        model, original = "there" if changed else "here", made.pop("original")
        retrain = None if changed else evaluation(0, 50)  # far from the paper's, and not counted
        return planted.variation(made, model=model, changed=changed, original=original, retrain=retrain)

    own = trained((), {"remain_train": -4, "forget_train": 2, "remain_test": 1, "forget_test": -1})
    longer, other_class = trained(("epochs", "lr"), {}), trained(("forget_class",), {"remain_train": 50})
    made = planted.variations(own, longer, other_class)
    here, there = trainings(made)
    assert (here.called, there.called) == ("here, 30 epochs at lr 0.1", "there"), "another class is no other training"
    assert here.from_paper == pytest.approx({"training": 3, "test": 1})
    assert there.from_paper == pytest.approx({"training": 0, "test": 0})
    assert made.trained_otherwise == [longer]
    words = templates("what_forgets").nearest_training(made).splitlines()
    assert words[0].startswith("- here, 30 epochs at lr 0.1: 3.0 points") and "1.0 on test images" in words[0]
    assert words[1].startswith("- there: 0.0 points") and "0.0 on test images" in words[1]
    shown = trainings_table(made)
    assert shown is not None
    assert list(shown.data.columns) == ["Original", "Boundary Shrink", "Boundary Expanding", "Random Labels", "Retrain"]
    assert list(shown.data.xs("<i>D</i><sub>r</sub>")["Retrain"])[1:] == ["50.0", "–"]
    assert list(shown.data.xs("<i>D</i><sub>r</sub>")["Boundary Shrink"]) == ["99.2", "95.2", "99.2"]
    alone = planted.variations(own, other_class)
    assert trainings_table(alone) is None
    assert templates("what_forgets").nearest_training(alone) == ""
    assert alone.trained_otherwise == []


# --- the parameter --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ("allcnn_groupnorm", "elsewhere='allcnn_groupnorm': must be a list of mappings"),
        ([{}], "elsewhere={}: must be a mapping with some of model, pretraining, width, forget_class, seed, epochs"),
        (
            [{"momentum": 0}],
            "elsewhere='momentum': allowed: model, pretraining, width, forget_class, seed, epochs, lr, precision",
        ),
        ([{"precision": "auto"}], "elsewhere: precision='auto': allowed: fp32, bf16"),
        ([{"model": "allcn"}], "elsewhere: model='allcn': did you mean 'allcnn'?"),
        ([{"forget_class": 10}], "elsewhere: forget_class=10: digits has classes 0 to 9"),
        ([{"model": "resnet18"}], "elsewhere: width=0.1: resnet18 has one width"),
    ],
)
def test_a_variation_that_cannot_be_is_refused(tmp_path: Path, wrong: object, message: str):
    assert refusal(small_experiment, tmp_path, elsewhere=wrong).startswith(message)
