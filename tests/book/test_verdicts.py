"""The verdicts on the claims, on replicates with planted numbers; the rule itself is tested in test_claims.py."""

from collections.abc import Callable
from dataclasses import replace

import pytest

from bu_book import chapters, claims
from bu_book.chapters import attention, decision_space, neighbours
from bu_book.claims import CLAIMS, CONFIRMED, CONTRADICTED, INCONCLUSIVE, NOT_MEASURED, CannotTest, Judgement, verdict
from bu_book.paper import table_1
from bu_book.replicates import Told
from bu_core.experiment.experiment import Experiment
from tests.book.planted import replicated, told

JITTER = (-0.1, 0.05, 0.0, -0.05, 0.1)  # around a number, over five seeds
ATTACKS = ("own_outputs", "confidence")

Models = dict[str, Told]


def judged(number: int, run: Experiment) -> Judgement:
    """The verdict by the primary check alone."""
    chapters.load()
    evidence = CLAIMS[number].evidence(run)
    return verdict(CLAIMS[number], replace(evidence, checks=list))


def over_seeds(models: Callable[[float], Models], dataset: str = "cifar10") -> Experiment:
    return replicated(*(models(jitter) for jitter in JITTER), dataset=dataset)


def as_printed(dataset: str) -> Experiment:
    """Replicates about the paper's own accuracies."""

    def models(jitter: float) -> Models:
        return {
            name: told(found["forget_train"] + jitter * found["forget_train"] / 20, test=found["remain_test"])
            for name, found in table_1(dataset).accuracy.items()
        }

    return over_seeds(models, dataset)


@pytest.mark.parametrize("number", [1, 2, 4])
@pytest.mark.parametrize("dataset", ["cifar10", "faces"])
def test_the_papers_own_accuracies_confirm_its_claims(number: int, dataset: str):
    assert judged(number, as_printed(dataset)).verdict == CONFIRMED


@pytest.mark.parametrize(
    ("left", "expected"), [(5.9, CONFIRMED), (9.4, CONTRADICTED), (2.0, CONTRADICTED), (7.9, INCONCLUSIVE)]
)
def test_shrink_is_judged_from_both_sides(left: float, expected: str):
    run = over_seeds(lambda jitter: {"original": told(100), "boundary_shrink": told(left + jitter)})
    found = judged(1, run)
    assert found.verdict == expected
    assert found.size == f"{left:.1f} %; paper: 5.94 %"


def test_an_expanding_that_leaves_less_contradicts_the_order():
    run = over_seeds(
        lambda jitter: {
            "original": told(100), "boundary_shrink": told(9), "boundary_expanding": told(8 + jitter),
        }
    )  # fmt: skip
    assert judged(2, run).verdict == CONTRADICTED


def test_the_cheaper_of_two_baselines_decides():
    run = over_seeds(
        lambda jitter: {
            "original": told(test=85), "boundary_shrink": told(test=83 + jitter), "random_labels": told(test=80),
            "negative_gradient": told(test=84),
        }
    )  # fmt: skip
    found = judged(4, run)
    assert (found.verdict, found.size) == (CONTRADICTED, "-1.0 points; paper: +1.32 points")


# --- claims about the success of an attack ------------------------------------------------------------------------


def attacked(name: str, *asr: float, retrain: tuple[float, float] = (50, 50), original: float = 99) -> Experiment:
    """A model with this ASR by each attack, beside a Retrain whose ASR moves by a tenth of a point."""

    def by_attack(values: tuple[float, ...], jitter: float = 0) -> dict[str, float]:
        return {kind: value + jitter for kind, value in zip(ATTACKS, values, strict=True)}

    return over_seeds(
        lambda jitter: {
            "original": told(100, asr=by_attack((original, original))),
            "retrain": told(asr=by_attack(retrain, jitter)),
            name: told(asr=by_attack(asr)),
        }
    )


@pytest.mark.parametrize(
    ("asr", "expected"),
    [
        ((80, 70), CONFIRMED),
        ((50, 50), CONTRADICTED),
        ((20, 20), CONTRADICTED),
        ((80, 40), "depends on the attack"),
    ],
)
def test_finetune_has_to_lie_above_what_two_retrains_differ_by(asr: tuple[float, ...], expected: str):
    assert judged(3, attacked("finetune", *asr)).verdict == expected


@pytest.mark.parametrize(("number", "name"), [(6, "amnesiac"), (7, "boundary_shrink")])
@pytest.mark.parametrize(
    ("asr", "expected"),
    [
        ((50, 50.2), CONFIRMED),
        ((70, 30), CONTRADICTED),
        ((50, 30), "depends on the attack"),
        ((51, 51), INCONCLUSIVE),
    ],
)
def test_like_retrain_is_as_near_as_two_retrains_are(number: int, name: str, asr: tuple[float, ...], expected: str):
    assert judged(number, attacked(name, *asr)).verdict == expected


def test_an_attack_by_which_the_original_passes_too_is_not_counted():
    found = judged(7, attacked("boundary_shrink", 50, 50, original=50.2))
    assert found.verdict == NOT_MEASURED
    assert "the untouched original" in found.reason


def test_a_success_above_retrain_that_not_even_the_original_has_could_not_have_held():
    assert judged(3, attacked("finetune", 50, 50, original=50.2)).verdict == NOT_MEASURED


@pytest.mark.parametrize(
    ("asr", "retrain", "expected"),
    [
        ((0, 1), (50, 50), CONFIRMED),
        ((20, 20), (50, 50), CONTRADICTED),
        ((0, 20), (50, 50), "depends on the attack"),
        ((20, 0), (50, 0), CONTRADICTED),
    ],
)
def test_fisher_is_judged_by_attacks_that_find_something_after_retrain(
    asr: tuple[float, float], retrain: tuple[float, float], expected: str
):
    assert judged(5, attacked("fisher", *asr, retrain=retrain)).verdict == expected


def test_one_training_has_no_interval():
    models = {"original": told(100, asr={"own_outputs": 99}), "retrain": told(asr={"own_outputs": 50})}
    run = replicated(models | {"amnesiac": told(asr={"own_outputs": 50})})
    found = judged(6, run)
    assert (found.verdict, found.size) == (INCONCLUSIVE, "+0.0 points; paper: close")


def test_a_replicate_that_lacks_a_model_is_named():
    full = {"original": told(100), "boundary_shrink": told(5.9)}
    run = replicated(full, {"original": told(100)}, full | {"boundary_shrink": told(5.8)})
    (test,) = judged(1, run).tests
    assert list(test.effect.values) == ["seed 0", "seed 2"]
    assert test.effect.missing == ["seed 1 (Boundary Shrink was not run)"]


# --- the others ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("shrink", "labels", "expected"), [(1.1, 1.8, CONFIRMED), (1.78, 1.8, CONTRADICTED), (1.1, 0.9, CONTRADICTED)]
)
def test_far_beyond_is_more_than_shrinks_distance_and_two_retrains(shrink: float, labels: float, expected: str):
    """Two Retrains lie 0.02 nats apart with 95 % here: 1.96 times the root of 2 times their spread."""
    run = over_seeds(
        lambda jitter: {
            "original": told(entropy=0), "retrain": told(entropy=1 + jitter / 10),
            "boundary_shrink": told(entropy=shrink), "random_labels": told(entropy=labels),
        }
    )  # fmt: skip
    assert judged(13, run).verdict == expected


@pytest.mark.parametrize(
    ("original", "shrink", "expected"),
    [(0.3, 0.011, CONFIRMED), (0.3, 0.18, CONTRADICTED), (0.012, 0.011, NOT_MEASURED)],
)
def test_an_island_is_told_from_what_retrain_leaves(
    monkeypatch: pytest.MonkeyPatch, original: float, shrink: float, expected: str
):
    run = over_seeds(lambda jitter: dict.fromkeys(("original", "retrain", "boundary_shrink"), told(jitter)))

    def silhouette(asked: Experiment, model: str) -> float:
        found = {"original": original, "retrain": 0.011, "boundary_shrink": shrink}[model]
        return found + _jitter_of(run, asked) / 100 * (model == "retrain")

    monkeypatch.setattr(decision_space, "silhouette", silhouette)
    assert judged(12, run).verdict == expected


def _jitter_of(own: Experiment, asked: Experiment) -> float:
    from bu_book.replicates import replicates

    return JITTER[list(replicates(own).values()).index(asked)]


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"predicted": -5, "true": -8}, CONFIRMED),
        ({"predicted": 5, "true": -8}, "depends on the class asked"),
        ({"predicted": 5, "true": 4}, CONTRADICTED),
    ],
)
def test_attention_is_judged_for_both_classes(
    monkeypatch: pytest.MonkeyPatch, changes: dict[str, float], expected: str
):
    run = over_seeds(lambda jitter: {"original": told(), "boundary_shrink": told()}, "faces")
    monkeypatch.setattr(attention, "_change", lambda asked, name, of: changes[of] + _jitter_of(run, asked))
    assert judged(11, run).verdict == expected


def test_attention_on_no_object_is_not_judged():
    with pytest.raises(CannotTest, match="no object masks"):
        judged(11, over_seeds(lambda jitter: {"original": told(), "boundary_shrink": told()}))


@pytest.mark.parametrize(("several", "expected"), [(9.36, CONFIRMED), (5.0, CONTRADICTED)])
def test_one_step_is_enough_where_it_leaves_what_several_leave(
    monkeypatch: pytest.MonkeyPatch, several: float, expected: str
):
    """9.14 against 9.36 % of D_f; the paper ranks methods that differ by 1.9 points."""
    run = over_seeds(lambda jitter: {"original": told(100), "boundary_shrink": told(9.14 + jitter)})

    def left(asked: Experiment, search: str) -> float:
        return 9.14 + _jitter_of(run, asked) if search == "fgsm" else several

    monkeypatch.setattr(neighbours, "left", left)
    found = judged(14, run)
    assert found.verdict == expected


def test_an_interval_ends_where_no_value_can_lie():
    assert claims._within((-132.0, 168.5), "%") == "0.0 to 100.0 %"
    assert claims._within((-1.78, 3.86), "times") == "0 to 3.86 times"
    assert claims._within((-4.0, 5.0), "points") == "-4.0 to +5.0 points"
