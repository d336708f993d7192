"""Golden numbers: what comes out of the same settings stays the same, or a version says that it does not.

Stored and recorded results are found by `training.NUMERICS` and by each measurement's `version`. Where a change moves
the numbers, one of them has to be raised, or old results pass for new ones. Then renew `golden.json`, by

    python -m tests.core.experiment.test_golden

The settings are those of the smoke profile, but for its learning rates. At 0.1 a difference in the last bit of one
convolution grows within two epochs to 17 points of accuracy, so that no number holds on two kinds of CPU. At 0.003
stand-ins for another CPU (oneDNN switched off, held to SSE, two threads) moved a mean entropy by at most 0.011 nats,
and the mean and the root mean square of the logits by 0.016. Such logits lie close together, so that accuracy moved by
3 points on D_r and 19 on D_f, and the share that an attack calls members by 22. TOLERANCE is about twice as much, and
any two methods differ by more. What the attacks say of planted answers did not move at all.
"""

import itertools
import json
import math
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pytest
import torch

from bu_core import attacks, training
from bu_core.config import Config
from bu_core.data import SPLITS
from bu_core.experiment.experiment import Experiment, outputs
from bu_core.experiment.metrics import attack, attack_shadow, evaluation, metrics
from tests.core.attacks.planted import ATTACKS, planted

GOLDEN = Path(__file__).with_name("golden.json")
RATE = 0.003
FORGETTING = {"epochs": 2, "lr": 0.01}  # enough that each method's own way shows
UNLEARNING = {
    "finetune": {"epochs": 1, "lr": RATE},
    "amnesiac": {"epochs": 1, "lr": RATE},
    "fisher": {"samples": 32},
    "negative_gradient": FORGETTING,
    "random_labels": FORGETTING,
    "boundary_shrink": FORGETTING | {"epsilon": 0.3},
    "boundary_expanding": FORGETTING,
}
TOLERANCE = {
    "entropy": 0.02,
    "logits_mean": 0.025,
    "logits_rms": 0.025,
    "auc": 0.04,
    "asr": 40.0,
    "remain": 6.0,  # accuracy on D_r and D_rt
    "forget": 40.0,  # and on D_f and D_ft
    "planted": 0.5,
}
KEPT = ("own_outputs", "shadow_models")  # the attacks whose scores are stored
RENEW = "python -m tests.core.experiment.test_golden"


def versions() -> dict[str, int]:
    """All that says that numbers have moved."""
    measured = (outputs, attack, attack_shadow, evaluation)
    return {"numerics": training.NUMERICS} | {each.name: each.version for each in measured}


def small(results: Path, **changes: Any) -> Experiment:
    given = {"lr": RATE, "unlearning": UNLEARNING, "device": "cpu", "precision": "fp32", "results_dir": str(results)}
    return Experiment(Config.from_profile("smoke", **given | changes))


def numbers(experiment: Experiment) -> dict[str, Any]:
    """What is held: of each model, and of the attacks on answers that are the same on every machine."""
    found: dict[str, Any] = {"models": {}, "planted": attacked()}
    for name, model in metrics(experiment).methods.items():
        logits = {part: said.logits.double() for part, said in experiment.outputs(name).items()}
        again = evaluation(experiment, name, reestimated_on=500)
        found["models"][name] = {
            "accuracy": model.accuracy,
            "entropy": model.entropy.mean | {"reestimated": again.entropy},
            "logits_mean": {part: logits[part].mean().item() for part in SPLITS},
            "logits_rms": {part: logits[part].square().mean().sqrt().item() for part in SPLITS},
            "asr": {kind.replace("_", " "): model.attacks[kind].asr.value for kind in KEPT if kind in model.attacks},
            "auc": {"own outputs": model.attacks["own_outputs"].auc.value},
        }
    return found


def attacked() -> dict[str, list[float]]:
    """What the attacks find of planted answers, in percent, with the ends of each interval."""
    answers, found = planted(remain_train=5, remain_test=3, forget_train=4.5, forget_test=4), {}
    for name, scored in ATTACKS.items():
        summary = attacks.summary(scored(answers, 0), None, 0)
        for each in ("asr", "false_positive_rate", "balanced_accuracy"):
            estimate = getattr(summary, each)
            found[f"{name}, {each}"] = [estimate.value, estimate.low, estimate.high]
    return found


def moved(golden: Mapping[str, Any], found: Mapping[str, Any]) -> list[str]:
    """The numbers that differ by more than another CPU explains, one a line."""
    return [
        f"{way}: {old} before, {new} now"
        for way, old, new, allowed in _pairs(golden, found)
        if old is None or new is None or not abs(new - old) <= allowed
    ]


def _pairs(golden: Mapping[str, Any], found: Mapping[str, Any]) -> Iterator[tuple[str, Any, Any, float]]:
    for way in dict.fromkeys((*golden["planted"], *found["planted"])):
        both = zip(golden["planted"].get(way, [None] * 3), found["planted"].get(way, [None] * 3), strict=True)
        yield from ((f"planted, {way}", old, new, TOLERANCE["planted"]) for old, new in both)
    for name in dict.fromkeys((*golden["models"], *found["models"])):
        one, other = golden["models"].get(name, {}), found["models"].get(name, {})
        for kind in one | other:
            before, now = one.get(kind, {}), other.get(kind, {})
            for part in before | now:
                allowed = TOLERANCE[part.split("_")[0] if kind == "accuracy" else kind]
                yield f"{name}, {kind}, {part}", before.get(part), now.get(part), allowed


@pytest.fixture(scope="module")
def golden() -> dict[str, Any]:
    return json.loads(GOLDEN.read_text())


@pytest.fixture(scope="module")
def experiment(tmp_path_factory: pytest.TempPathFactory) -> Experiment:
    return small(tmp_path_factory.mktemp("golden"))


def test_numbers_move_with_a_version_alone(golden: dict[str, Any], experiment: Experiment):
    if golden["versions"] != versions():
        pytest.fail(f"versions are {versions()}, those of golden.json {golden['versions']}; renew it by `{RENEW}`")
    if lines := moved(golden, numbers(experiment)):
        hint = "raise training.NUMERICS, or the version of the measurement that changed, and then renew golden.json by"
        pytest.fail("\n".join([f"results moved and no version did; {hint} `{RENEW}`", *lines]))


def test_a_training_in_another_order_is_noticed(golden: dict[str, Any], experiment: Experiment):
    """The tolerance is not so wide that it passes for the same: here for the original alone."""
    other = small(experiment.folder, seed=1, methods=[], shadow_models=0)
    assert len([line for line in moved(golden, numbers(other)) if line.startswith("original, entropy")]) >= 3


def test_a_smaller_batch_is_noticed(golden: dict[str, Any], experiment: Experiment):
    other = small(experiment.folder, batch_size=60, methods=[], shadow_models=0)
    assert [line for line in moved(golden, numbers(other)) if line.startswith("original, logits_rms")]


@pytest.mark.parametrize(("constant", "value"), [("SAMPLES", 300), ("FLOOR", 1.0)])
def test_another_attack_is_noticed(
    golden: dict[str, Any], monkeypatch: pytest.MonkeyPatch, constant: str, value: float
):
    monkeypatch.setattr(attacks, constant, value)
    assert moved(golden, golden | {"planted": attacked()})


def test_no_method_passes_for_another(golden: dict[str, Any]):
    for one, other in itertools.combinations(golden["models"], 2):
        swapped = golden["models"] | {one: golden["models"][other]}
        assert moved(golden, golden | {"models": swapped}), f"{one} and {other} are held to be the same"


def test_a_number_that_is_gone_or_none_is_noticed(golden: dict[str, Any]):
    less = json.loads(json.dumps(golden))
    del less["models"]["retrain"]
    less["models"]["finetune"]["entropy"]["forget_test"] = math.nan
    lines = moved(golden, less)
    assert "finetune, entropy, forget_test" in "\n".join(lines)
    assert sum(line.startswith("retrain, ") for line in lines) == len(
        [part for kind in golden["models"]["retrain"].values() for part in kind]
    )
    assert moved(golden, golden) == []


def renew() -> None:
    """Write `golden.json`; where numbers moved and no version did, say so and leave it."""
    torch.set_num_threads(1)
    with TemporaryDirectory() as folder:
        found = {"versions": versions()} | numbers(small(Path(folder)))
    if GOLDEN.exists():
        before = json.loads(GOLDEN.read_text())
        if before["versions"] == versions() and (lines := moved(before, found)):
            sys.exit("\n".join(["raise training.NUMERICS or a measurement's version first; these moved:", *lines]))
    GOLDEN.write_text(json.dumps(_rounded(found), indent=1) + "\n")


def _rounded(content: Any) -> Any:
    if isinstance(content, dict):
        return {name: _rounded(value) for name, value in content.items()}
    if isinstance(content, list):
        return [_rounded(value) for value in content]
    return round(content, 4) if isinstance(content, float) else content


if __name__ == "__main__":
    renew()
