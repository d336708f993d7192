"""What the steps tell a reader in words: the answers of their exercises hold, and a teacher's commands fit."""

import re
from collections.abc import Callable
from pathlib import Path

import papermill
import pytest
import torch

from bu_book.build import STEPS
from bu_book.measured.mechanism import recovered
from bu_book.steps import toy
from bu_book.variations import STATISTICS_ALONE
from bu_core import attacks
from bu_core.attacks.modified_entropy import from_modified_entropy
from bu_core.attacks.own_outputs import from_own_outputs
from bu_core.audits.reestimation import reestimated
from bu_core.config import Config
from bu_core.data import SPLITS
from bu_core.experiment.experiment import Experiment
from bu_core.measures import Outputs, shares
from bu_core.models import Classifier
from bu_core.training import predict
from bu_core.unlearning import METHODS, UnlearningTask, method_settings
from bu_core.unlearning.boundary_shrink import crossed_logits, nearest_incorrect

BOOK = Path(__file__).parents[3] / "book"


@pytest.fixture(scope="module", params=[0, 1])
def square(request: pytest.FixtureRequest) -> UnlearningTask:
    return toy.learned(seed=request.param)


def left(model: Classifier, task: UnlearningTask) -> float:
    return toy.accuracy(model, task.split.forget_train)


def kept(model: Classifier, task: UnlearningTask) -> float:
    return toy.accuracy(model, task.split.remain_train)


def unlearned(task: UnlearningTask, method: str, **given: object) -> Classifier:
    """A method with the statistics held still, as steps 3 and 4 have it."""
    return METHODS[method](task, **method_settings(method, {"epochs": 10, "batchnorm": "frozen"} | given))


def test_step_1_noise_hurts_the_middle_most(square: UnlearningTask):
    noisy = toy.learned(seed=square.recipe.seed, noise=0.14)
    assert kept(noisy.original, noisy) < kept(square.original, square) - 10
    data = noisy.split.remain_train
    others = [toy.accuracy(noisy.original, data[data.labels == label]) for label in data.labels.unique()]
    assert left(noisy.original, noisy) < min(others)


def test_step_1_retrain_gives_the_points_to_neighbours_and_is_not_undecided(square: UnlearningTask):
    retrained, forget = METHODS["retrain"](square), square.split.forget_train
    nearest = toy.nearest_region(square.original, forget)
    assert (predict(retrained, forget.images, "fp32").argmax(1) == nearest).float().mean() > 0.7
    assert 0.5 < toy.certainty(retrained, forget) < toy.certainty(retrained, square.split.remain_train)


def test_step_2_short_steps_seldom_cross_and_find_the_nearest_label_nevertheless(square: UnlearningTask):
    forget = square.split.forget_train
    nearest = toy.nearest_region(square.original, forget)
    crossed, agrees = {}, {}
    for reach in (0.02, 0.4):
        logits = crossed_logits(square.original, forget, reach, "fp32")
        crossed[reach] = (logits.argmax(1) != forget.labels).float().mean()
        agrees[reach] = (nearest_incorrect(logits, forget.labels) == nearest).float().mean()
    assert crossed[0.02] < 0.5 < crossed[0.4]
    assert agrees[0.02] > 0.85
    assert agrees[0.02] > agrees[0.4]


def test_step_3_random_labels_take_longer_and_cost_the_others(square: UnlearningTask):
    shrunk, random = (
        {lr: unlearned(square, method, lr=lr, **more) for lr in (0.001, 0.01)}
        for method, more in (("boundary_shrink", {"epsilon": 0.15}), ("random_labels", {}))
    )
    assert left(shrunk[0.001], square) < 5 < 40 < left(random[0.001], square)
    assert left(random[0.01], square) < 5
    assert kept(random[0.01], square) < kept(square.original, square) - 10 < kept(shrunk[0.01], square)
    assert toy.certainty(random[0.01], square.split.forget_train) < 0.5


def test_step_3_the_others_get_back_what_the_middle_took(square: UnlearningTask):
    shrunk = unlearned(square, "boundary_shrink", lr=0.001, epsilon=0.15)
    before, after = (
        toy.share_given(model, square.split.remain_train, toy.FORGOTTEN) for model in (square.original, shrunk)
    )
    assert after < before
    assert kept(shrunk, square) > kept(square.original, square)


def test_step_4_works_beside_the_remaining_points_and_fails_without_them(square: UnlearningTask):
    shadow, split = len(toy.CLASSES), square.split
    beside, alone = (toy.with_shadow(square, remaining=each, epochs=10, lr=0.03) for each in (True, False))
    assert left(beside[-1], square) < 15 and kept(beside[-1], square) > kept(square.original, square)
    assert toy.share_given(beside[-2], split.remain_train, shadow) < 10
    assert kept(alone[-1], square) < 70
    assert toy.share_given(alone[-2], split.remain_train, shadow) > 95


def test_step_4_what_the_shadow_class_covers_and_what_comes_back(square: UnlearningTask):
    shadow, parts = len(toy.CLASSES), (square.split.forget_train, square.split.remain_train)
    models = {lr: toy.with_shadow(square, remaining=False, epochs=10, lr=lr) for lr in (0.001, 0.005, 0.05)}
    covered = {lr: [toy.share_given(wide, part, shadow) for part in parts] for lr, (*_, wide, _) in models.items()}
    assert covered[0.001] == [0, 0]
    assert covered[0.005][0] == 100 and 50 < covered[0.005][1] <= 100
    pruned = {lr: each[-1] for lr, each in models.items()}
    assert left(pruned[0.001], square) > left(square.original, square) - 15
    assert left(pruned[0.005], square) > left(square.original, square) - 5
    assert left(pruned[0.05], square) < 5
    assert kept(pruned[0.05], square) < 60


def test_step_5_what_frozen_statistics_hide_comes_back_until_the_weights_have_moved_far(square: UnlearningTask):
    for lr, back in ((0.001, True), (0.05, False)):
        shrunk = unlearned(square, "boundary_shrink", lr=lr, epsilon=0.15)
        again = reestimated(shrunk, square.split.remain_train.images, "fp32")
        assert left(shrunk, square) < 5
        assert left(again, square) > 70 if back else left(again, square) < 5


def test_step_5_drift_alone_hides_the_class_and_re_estimation_shows_it(square: UnlearningTask):
    drifted = unlearned(square, "boundary_shrink", **STATISTICS_ALONE)
    for name, weight in drifted.named_parameters():
        assert torch.equal(weight, square.original.get_parameter(name))
    assert left(drifted, square) < left(square.original, square) / 2
    again = reestimated(drifted, square.split.remain_train.images, "fp32")
    assert left(again, square) > left(square.original, square) - 5


def test_step_5_the_others_gain_what_the_middle_loses_and_the_other_way_round(square: UnlearningTask):
    drifted = unlearned(square, "boundary_shrink", **STATISTICS_ALONE)
    again = reestimated(drifted, square.split.remain_train.images, "fp32")
    models = (drifted, square.original, again)
    taken = [toy.share_given(model, square.split.remain_train, toy.FORGOTTEN) for model in models]
    right = [kept(model, square) for model in models]
    assert taken == sorted(taken) and right == sorted(right, reverse=True)
    assert left(again, square) > left(square.original, square)


@pytest.mark.parametrize("seed", [0, 1, 2, 3])
def test_step_6_one_attack_works_and_the_other_guesses(seed: int):
    def summed_up(task: UnlearningTask, attack: Callable[..., attacks.Scores]) -> attacks.AttackSummary:
        parts = {part: getattr(task.split, part) for part in SPLITS}
        said = {name: Outputs(predict(task.original, of.images, "fp32"), of.labels) for name, of in parts.items()}
        return attacks.summary(attack(said, seed), None, seed)

    works = summed_up(toy.learned(seed=seed, **toy.BY_HEART), from_modified_entropy)
    assert works.auc.low is not None and works.auc.low > 0.5
    assert works.asr.value is not None and works.false_positive_rate.value is not None
    assert works.asr.value > works.false_positive_rate.value + 10
    guesses = summed_up(toy.learned(seed=seed), from_own_outputs)
    assert guesses.auc.value == pytest.approx(0.5, abs=0.08)


def test_step_7_the_boundary_stays_where_the_steps_are_normalised_by_remaining_points(square: UnlearningTask):
    given = {"epsilon": 0.15, "lr": 0.007}
    ways = {
        "train": {},
        "frozen": {},
        "remaining": {"remaining": 480, "keep": 1.0},
        "no keep": {"batchnorm": "remaining", "remaining": 480, "keep": 0.0},
        "few": {"batchnorm": "remaining", "remaining": 32, "keep": 1.0},
    }
    for way, more in ways.items():
        model = unlearned(square, "boundary_shrink", **given | {"batchnorm": way} | more)
        again = reestimated(model, square.split.remain_train.images, "fp32")
        assert left(model, square) < 10
        if way in ("train", "frozen"):
            assert left(again, square) > left(model, square) + 20
        else:
            assert left(again, square) < 5 and kept(again, square) > 95


def test_step_7_the_record_answers_without_data():
    run = Experiment(Config.from_profile("cifar10"))
    given = dict(zip(run.dataset.classes, shares(run.outputs("boundary_shrink")["forget_train"]), strict=True))
    first = sorted(given, key=lambda name: -given[name])[:4]
    assert set(first) == {"bird", "frog", "cat", "horse"}
    assert recovered(run, "boundary_shrink", 100).accuracy["forget_train"] > 95
    assert recovered(run, "retrain", 100).accuracy["forget_train"] == 0


COMMAND = re.compile(r"^papermill notebooks/steps/(\w+)\.ipynb out\.ipynb -p (\w+) (\S+)$", re.MULTILINE)
ROW = re.compile(r"^\| (\d) \| `(\w+)` \| ([\d., ]+) \|", re.MULTILINE)
ORDER = re.findall(r"steps/(\w+)", (BOOK / "_toc.yml").read_text())


def test_the_teachers_commands_and_table_name_parameters_that_the_steps_have():
    text = (BOOK / "teaching.md").read_text()
    commands = COMMAND.findall(text)
    rows = [(ORDER[int(step) - 1], name, values.split(", ")) for step, name, values in ROW.findall(text)]
    assert [step for step, *_ in commands] == [step for step, *_ in rows] == ORDER
    assert text.count("papermill ") == len(commands)
    for (step, name, value), (_, listed, values) in zip(commands, rows, strict=True):
        assert name == listed
        assert value in values
        assert name in papermill.inspect_notebook(STEPS[step])
