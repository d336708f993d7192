"""Verdicts on numbers whose verdict is plain."""

import copy
from typing import Any

import pytest

from bu_book import figures
from bu_book import paper as published
from bu_book.claims import CLAIMS, NOT_REPRODUCED, PARTLY, REPRODUCED, UNTESTED, judged

ASR = {
    "original": 99, "retrain": 50, "finetune": 80, "negative_gradient": 10, "random_labels": 15,
    "boundary_shrink": 52, "boundary_expanding": 45, "fisher": 0, "amnesiac": 47,
}  # fmt: skip


@pytest.fixture
def as_published() -> dict[str, Any]:
    """Metrics that hold the paper's own accuracies on CIFAR-10, and ASRs in the order of its Figure 3."""
    accuracy = published.table_1("cifar10").accuracy | published.table_2("cifar10").accuracy
    return {
        "dataset": {"name": "cifar10"},
        "methods": {name: {"accuracy": accuracy[name], "attack": {"asr": ASR[name]}} for name in accuracy},
    }


@pytest.fixture
def as_published_on_faces() -> dict[str, Any]:
    """The same on faces, where the ASRs of Negative Gradient and Random Labels are high."""
    accuracy, asr = published.table_1("faces").accuracy, ASR | {"negative_gradient": 85, "random_labels": 80}
    return {
        "dataset": {"name": "faces"},
        "methods": {name: {"accuracy": accuracy[name], "attack": {"asr": asr[name]}} for name in accuracy},
    }


def timed(
    expanding: float, shrink: float, *, spread: float = 0.0, images: dict[str, int] | None = None
) -> dict[str, Any]:
    """A timing with these speed-ups over a Retrain of one second, each round within the `spread` of the median."""
    methods = {
        name: {"speed_up": times, "seconds": {"low": (1 - spread) / times, "high": (1 + spread) / times}}
        for name, times in (("boundary_expanding", expanding), ("boundary_shrink", shrink))
    }
    images = images or {"retrain": 27, "boundary_expanding": 1, "boundary_shrink": 1}
    return {"methods": methods, "images": images, "search": {"shrink_over_expanding": expanding / shrink}}


@pytest.mark.parametrize("number", [1, 2, 3, 4, 5, 6, 7])
def test_the_papers_own_numbers_reproduce_its_claims(as_published: dict[str, Any], number: int):
    (judgement,) = judged([number], as_published)
    assert judgement.verdict == REPRODUCED, judgement.checks


@pytest.mark.parametrize("number", [1, 2, 3, 4, 7])
def test_so_do_its_numbers_on_faces(as_published_on_faces: dict[str, Any], number: int):
    (judgement,) = judged([number], as_published_on_faces)
    assert judgement.verdict == REPRODUCED, judgement.checks


@pytest.mark.parametrize(("expanding", "shrink", "verdict"), [(26.6, 11.7, REPRODUCED), (29.7, 4.8, PARTLY)])
def test_the_speed_ups_on_faces_are_those_on_faces(
    as_published_on_faces: dict[str, Any], expanding: float, shrink: float, verdict: str
):
    timing = timed(expanding, shrink)
    assert judged([8], as_published_on_faces, timing=timing)[0].verdict == verdict


def test_numbers_that_contradict_a_claim_do_not_reproduce_it(as_published: dict[str, Any]):
    shrink = as_published["methods"]["boundary_shrink"]["accuracy"]
    as_published["methods"]["boundary_shrink"]["accuracy"] = shrink | {"forget_train": 80.0, "remain_train": 40.0}
    assert judged([1], as_published)[0].verdict == NOT_REPRODUCED


def of_a_class(own: dict[str, Any], **left: float) -> dict[str, Any]:
    """A place of `Measurements.elsewhere` that leaves this much of D_f; the rest is as in `own`."""
    methods = {name: {"before": {"accuracy": own[name]["accuracy"] | {"forget_train": left[name]}}} for name in left}
    place = {"title": "own", "changed": [], "forget_class": "deer", "seed": 0}
    return place | {"original": own["original"], "methods": methods}


@pytest.mark.parametrize(("differs", "unit"), [("forget_class", "classes"), ("seed", "seeds")])
@pytest.mark.parametrize(
    ("shrink", "expanding", "verdicts", "measured"),
    [
        ((5, 7, 9), (8, 11, 12), [REPRODUCED, REPRODUCED], "+3.33 ± 1.43 points"),
        ((5, 7, 9), (4, 8, 10), [REPRODUCED, PARTLY], "+0.33 ± 2.87 points"),
        ((11, 13, 9), (12, 14, 10), [PARTLY, REPRODUCED], "+1.00 ± 0.00 points"),
    ],
)
def test_claims_one_and_two_are_judged_on_all_classes_and_on_all_seeds(
    as_published: dict[str, Any], shrink: tuple, expanding: tuple, verdicts: list[str], measured: str, differs: str,
    unit: str,
):  # fmt: skip
    own = as_published["methods"]
    places = [
        of_a_class(own, boundary_shrink=first, boundary_expanding=second) | {differs: number}
        for number, (first, second) in enumerate(zip(shrink, expanding, strict=True))
    ]
    places.append(of_a_class(own, boundary_shrink=90, boundary_expanding=0) | {"title": "wide", "changed": ["width"]})
    found = judged([1, 2], as_published, elsewhere=places)
    assert [judgement.verdict for judgement in found] == verdicts
    assert found[1].checks[-1].measured == measured
    assert found[0].checks[-1].measured == "0.73 ± 0.00 points"
    assert all(check.rule.startswith(f"over 3 {unit}: ") for check in (*found[0].checks[2:], *found[1].checks[2:]))


def test_claims_one_and_two_are_judged_on_another_training(as_published: dict[str, Any]):
    own = as_published["methods"]
    here = of_a_class(own, boundary_shrink=5, boundary_expanding=8)
    longer = of_a_class(own, boundary_shrink=12, boundary_expanding=11) | {"title": "longer", "changed": ["epochs"]}
    first, second = judged([1, 2], as_published, elsewhere=[here, longer])
    assert [check.holds for check in first.checks] == [True, True, False, True]
    assert [check.holds for check in second.checks] == [True, True, False]
    assert (second.checks[2].rule, second.checks[2].measured) == (
        "as longer: Boundary Expanding leaves more than Boundary Shrink", "-1.00 points",
    )  # fmt: skip


def test_the_verdicts_of_several_runs_stand_side_by_side(as_published: dict[str, Any]):
    worse = copy.deepcopy(as_published)
    worse["methods"]["boundary_shrink"]["accuracy"] |= {"remain_train": 40.0}
    del worse["methods"]["fisher"]
    runs = {"theirs": judged([1, 5, 8], as_published), "ours": judged([1, 5, 8], worse)}
    table = figures.verdicts_by_run(runs).data
    assert table["theirs"].tolist() == ["<b>yes</b><br>✓&nbsp;2", "<b>yes</b><br>✓&nbsp;3", "–"]
    assert table["ours"].tolist() == ["partly<br>✓&nbsp;1&nbsp; ✗&nbsp;1", "–", "–"]
    assert table.index[0].startswith("1. Boundary Shrink leaves little of <i>D</i><sub>f</sub>")


def test_half_a_claim_is_partly_reproduced(as_published: dict[str, Any]):
    shrink = as_published["methods"]["boundary_shrink"]["accuracy"]
    as_published["methods"]["boundary_shrink"]["accuracy"] = shrink | {"remain_train": 40.0}
    assert judged([1], as_published)[0].verdict == PARTLY


def test_a_claim_on_a_method_that_was_not_run_cannot_be_tested(as_published: dict[str, Any]):
    fewer = copy.deepcopy(as_published)
    del fewer["methods"]["fisher"]
    (judgement,) = judged([5], fewer)
    assert judgement.verdict == UNTESTED
    assert "fisher" in judgement.missing


@pytest.mark.parametrize("number", [8, 10, 11, 12, 14])
def test_a_claim_on_what_was_not_measured_cannot_be_tested(as_published: dict[str, Any], number: int):
    assert judged([number], as_published)[0].verdict == UNTESTED


def test_the_papers_speed_ups_reproduce_its_claims(as_published: dict[str, Any]):
    verdicts = [found.verdict for found in judged([8, 10], as_published, timing=timed(29.7, 4.8))]
    assert verdicts == [REPRODUCED, REPRODUCED]


def test_a_speed_up_beyond_the_ratio_of_the_images_is_not_asked_for(as_published: dict[str, Any]):
    """20 epochs of 9 classes against 10 of one: whatever the code, 18 times as many images."""
    timing = timed(17.0, 16.0, images={"retrain": 18, "boundary_expanding": 1, "boundary_shrink": 1})
    (judgement,) = judged([8], as_published, timing=timing)
    assert judgement.verdict == UNTESTED
    assert "18.0 times" in judgement.missing


@pytest.mark.parametrize(("spread", "verdict"), [(0.01, NOT_REPRODUCED), (0.2, UNTESTED)])
def test_times_whose_ranges_overlap_are_not_told_apart(as_published: dict[str, Any], spread: float, verdict: str):
    """Shrink took 0.95 times as long as Expanding."""
    timing = timed(19.0, 20.0, spread=spread)
    assert judged([10], as_published, timing=timing)[0].verdict == verdict


@pytest.mark.parametrize(("samples", "verdict"), [(0, PARTLY), (100, REPRODUCED)])
def test_fisher_on_a_sample_is_judged_as_on_all_of_the_data(as_published: dict[str, Any], samples: int, verdict: str):
    """Half of Retrain's time; on a tenth of the data that is five times Retrain's on all of them."""
    as_published["dataset"]["sizes"] = {"remain_train": 1000}
    as_published["methods"]["fisher"]["settings"] = {"samples": samples}
    as_published["methods"]["amnesiac"]["recording"] = {"seconds": 1.0, "training_seconds": 1.0}
    timing = {"methods": {"fisher": {"speed_up": 2.0}}}
    assert judged([9], as_published, timing=timing)[0].verdict == verdict


def test_attention_without_known_objects_cannot_be_tested(as_published: dict[str, Any]):
    attention = {"region": {"is_object": False}}
    assert judged([11], as_published, attention=attention)[0].verdict == UNTESTED


def test_there_are_fourteen_claims_with_their_sources():
    assert list(CLAIMS) == list(range(1, 15))
    assert all(claim.source and claim.text for claim in CLAIMS.values())
