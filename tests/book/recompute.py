"""Every number of the opening page, computed again from the records' files with json, numpy and safetensors alone.

    python tests/book/recompute.py

Nothing of `bu_core` or `bu_book` is imported, so that a mistake there cannot hide here. An artefact is a safetensors
file; its header holds the `key` that made it and its `facts`, and it is found by what the key says: the measurement,
the model, its settings, the training and the seed. Accuracies come from the recorded logits; means over seeds from the
recorded ladders and traces; attack success rates from the recorded scores.

Two of the attacks keep no scores. They are made again here in their authors' words on all images, where the book draws
as many members as others, so what they find is compared with the page within `WITHIN` points.
"""

import json
import math
import statistics
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from functools import cache, partial
from pathlib import Path
from typing import Any

import numpy as np
from safetensors import safe_open

RESULTS = Path(__file__).resolve().parents[2] / "book" / "results"
SEEDS = range(5)
CLASSES = 10
ROUNDS = 5  # of timing, where they are recorded
CPU_ROUNDS = 5  # on a CPU
SHRINK, EXPANDING, RETRAIN = "boundary_shrink", "boundary_expanding", "retrain"
DEEP = {"batchnorm": "remaining", "target": "soft", "remaining": 5000, "lr": 1e-3, "epochs": 2}
DEEP |= {"adversary": 0.15, "adversary_before": 0.05, "output_row": "relearned"}
LASTING = {"batchnorm": "remaining", "target": "soft", "remaining": 1000, "lr": 1e-3, "epochs": 1}
TUNED = {"lr": 1e-2, "epochs": 1}  # for the faces
LONGER = {"batchnorm": "remaining", "target": "soft", "remaining": 5000, "lr": 3e-3, "epochs": 5}
WITHIN = 1.0  # points by which an attack on all images may differ from the book's on a draw of them

Facts = Mapping[str, Any]


class Record:
    """A recorded run in a folder below book/results."""

    def __init__(self, name: str):
        self.folder = RESULTS / name
        self.config = json.loads((self.folder / "record.json").read_text())["config"]
        self._headers = {path: _header(path) for path in sorted((self.folder / "store").glob("*.safetensors"))}

    def find(self, measurement: str, model: str | None = None, *, seed: int = 0, settings: Facts | None = None,
             forget_class: int | None = None, **arguments: Any) -> Path:  # fmt: skip
        """The one artefact of the run's own training that a measurement left of a model.

        `settings`: of the model; None for those of the run. `forget_class`: the class; None for that of the run.
        Raises LookupError where there is none, or several.
        """
        label = self.config["forget_class"] if forget_class is None else forget_class
        found = [
            path
            for path, (key, _) in self._headers.items()
            if key.get("measurement") == measurement
            and (model is None or path.name.startswith(f"{measurement}-{model}-"))
            and key.get("forget_class") == label
            and key["arguments"] == arguments
            and all(self._own(name, made, seed, settings) for name, made in key["models"].items())
        ]
        if len(found) != 1:
            raise LookupError(f"{measurement} of {model}, seed {seed}, {arguments}: {len(found)} in {self.folder.name}")
        return found[0]

    def facts(self, *what: Any, **which: Any) -> Facts:
        """The facts of the artefact that `find` finds."""
        return self._headers[self.find(*what, **which)][1]

    def every(self, measurement: str, network: str) -> list[Facts]:
        """The facts of all that a measurement left of a network, whatever the seed and the class."""
        return [
            facts
            for key, facts in self._headers.values()
            if key.get("measurement") == measurement and key["models"]["original"]["model"] == network
        ]

    def _own(self, name: str, made: Facts, seed: int, settings: Facts | None) -> bool:
        """Whether a model was trained as the run says, with its settings; a key leaves out those at their defaults."""
        recipe, config = made["recipe"], self.config
        same = all(recipe[each] == config[each] for each in ("epochs", "lr", "batch_size", "momentum"))
        same = same and (recipe["seed"], made["width"], made["model"]) == (seed, config["width"], config["model"])
        if name in ("original", RETRAIN) or settings is None:
            own = config["unlearning"].get(name, {})
            return same and all(own.get(each) == value for each, value in made.get("settings", {}).items())
        return same and made["settings"] == settings


def _header(path: Path) -> tuple[Facts, Facts]:
    with safe_open(path, "numpy") as file:
        header = file.metadata()
    return json.loads(header["key"]), json.loads(header["facts"])


def _tensors(path: Path, prefix: str = "") -> dict[str, np.ndarray]:
    with safe_open(path, "numpy") as file:
        return {name: file.get_tensor(name) for name in file.keys() if name.startswith(prefix)}  # noqa: SIM118


# --- what models say ----------------------------------------------------------------------------------------------


@cache
def said(record: Record, model: str, part: str) -> tuple[np.ndarray, np.ndarray]:
    """Logits, float64, (N, K), and labels, (N,), of a set."""
    found = _tensors(record.find("outputs", model), f"{part}.")
    return found[f"{part}.logits"].astype(np.float64), found[f"{part}.labels"].astype(np.int64)


def accuracy(logits: np.ndarray, labels: np.ndarray) -> float:
    """In percent."""
    return 100 * float((logits.argmax(1) == labels).mean())


@dataclass(frozen=True)
class Attacked:
    """In percent: how many of D_f an attack calls members, and how often it is right where the truth is known."""

    asr: float
    right: float


def attacked(record: Record, model: str) -> dict[str, Attacked]:
    """By attack; `own_outputs` from its recorded scores, the two others made again."""
    scores = {part: found > 0.5 for part, found in _tensors(record.find("attack", model)).items()}
    right = 50 * float(scores["members"].mean() + 1 - scores["others"].mean())
    found = {"own_outputs": Attacked(100 * float(scores["forget_train"].mean()), right)}
    for name, score in (("confidence", confidence), ("modified_entropy", modified_entropy)):
        members, others, forgotten = (
            score(*said(record, model, part)) for part in ("remain_train", "remain_test", "forget_train")
        )
        tried = np.unique(np.quantile(np.concatenate([members, others]), np.linspace(0, 1, 4001)))
        rates = [np.searchsorted(np.sort(side), tried, "right") / len(side) for side in (members, others)]
        best = int(np.argmax(rates[1] - rates[0]))
        asr = 100 * float((forgotten > tried[best]).mean())
        found[name] = Attacked(asr, 50 * float(1 + rates[1][best] - rates[0][best]))
    return found


def posteriors(logits: np.ndarray) -> np.ndarray:
    """Their logarithms, (N, K)."""
    shifted = logits - logits.max(1, keepdims=True)
    return shifted - np.log(np.exp(shifted).sum(1, keepdims=True))


def confidence(logits: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """Log-odds of the largest posterior."""
    ordered = np.sort(posteriors(logits), 1)
    return (ordered[:, -1] - np.log(np.exp(ordered[:, :-1]).sum(1) + 1e-300)).clip(-50, 50)


def modified_entropy(logits: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """Minus the logarithm of Song and Mittal's measure, which is small for members.

    Of the largest posterior 1 - p is the sum of the others, which keeps what 1 - p would be rounded to.
    """
    logs, rows = posteriors(logits), np.arange(len(labels))
    largest, rest = logits.argmax(1), 1 - np.exp(logs)
    others = np.exp(logs)
    others[rows, largest] = 0
    rest[rows, largest] = others.sum(1)
    logs[rows, largest] = np.log1p(-rest[rows, largest])
    log_rest = np.log1p(-others)
    log_rest[rows, largest] = np.log(rest[rows, largest] + 1e-300)
    logs, log_rest = logs.clip(-50), log_rest.clip(-50)
    terms = -np.exp(logs) * log_rest
    terms[rows, labels] = -rest[rows, labels] * logs[rows, labels]
    return -np.log(terms.sum(1) + 1e-300)


# --- what the page says -------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Said:
    """Words of the page, with {} for each of the `values`, as a format; exact, but for those `within` some points."""

    words: str
    values: tuple[float, ...]
    within: float = 0.0

    def __str__(self) -> str:
        return self.words.format(*self.values)


def front_page() -> list[Said]:
    """Every sentence with a number on the opening page, led by CIFAR-10."""
    record, repeats = Record("cifar10"), Record("cifar10-replicates")
    without = [*_without_batchnorm(record, "CIFAR-10"), *_without_batchnorm(Record("digits"), "Digits")]
    return [
        *_picture(repeats),
        *_answers(record, repeats),
        *_instead(record, repeats),
        *_on_faces(Record("lfw-replicates")),
        *_verdicts(record, repeats),
        *without,
    ]


def _ladders(repeats: Record, model: str) -> list[Facts]:
    return [repeats.facts("ladder", model, seed=seed) for seed in SEEDS]


def _traces(repeats: Record, settings: Facts | None = None) -> list[Facts]:
    return [repeats.facts("trace", SHRINK, seed=seed, settings=settings or LASTING) for seed in SEEDS]


def _forgotten(made: list[Facts], when: str) -> float:
    """The mean accuracy on D_f in percent; a ladder keeps it one step deeper than a trace."""
    return statistics.fmean(found[when].get("accuracy", found[when])["forget_train"] for found in made)


def _picture(repeats: Record) -> list[Said]:
    shrink, lasting = _ladders(repeats, SHRINK), _traces(repeats)
    seems, back, stays = _forgotten(shrink, "before"), _forgotten(shrink, "after"), _forgotten(lasting, "after")
    original, retrain = (
        _forgotten(_ladders(repeats, name), when) for name, when in (("original", "before"), (RETRAIN, "after"))
    )
    return [
        Said(
            "Bars: Original, {:.1f} %, Boundary Shrink, {:.1f} %, Boundary Shrink, after one unlabelled pass, {:.1f} "
            "%, The lasting method, after the same pass, {:.1f} %, Retrain, {:.1f} %",
            (original, seems, back, stays, retrain),
        ),
        Said("Means over {:.0f} seeds", (len(SEEDS),)),
        Said("It seems to leave {:.1f} %.", (seems,)),
        Said("the network recognises {:.1f} %.", (back,)),
        Said(
            "by {:,} unlabelled images of the other classes: after that pass, {:.1f} % is recognised.",
            (LASTING["remaining"], stays),
        ),
    ]


def _answers(record: Record, repeats: Record) -> list[Said]:
    unseen = [accuracy(*said(record, name, "forget_test")) for name in (SHRINK, EXPANDING, RETRAIN)]
    cost = accuracy(*said(record, "original", "remain_test")) - accuracy(*said(record, SHRINK, "remain_test"))
    swap, frozen = record.facts("swap", SHRINK), {"batchnorm": "frozen"}
    weights = record.facts("evaluation", SHRINK, settings=frozen, reestimated_on=0)["accuracy"]["forget_train"]
    back = record.facts("recovered", SHRINK, settings=frozen, images=5000)["accuracy"]["forget_train"]
    again = [
        record.facts("evaluation", name, reestimated_on=5000)["accuracy"]["forget_train"]
        for name in (SHRINK, EXPANDING, RETRAIN)
    ]
    taken = {name: seconds(record, repeats, name) for name in (SHRINK, EXPANDING, RETRAIN)}
    faster = [float(np.median(taken[RETRAIN] / taken[name])) for name in (SHRINK, EXPANDING)]
    once = ", in one run each" if len(taken[RETRAIN]) == 1 else ""
    found = {name: attacked(record, name) for name in ("original", *record.config["methods"])}
    rates = {name: [repeats.facts("told", name, seed=seed)["asr"] for seed in SEEDS] for name in (SHRINK, RETRAIN)}
    pairs = list(zip(rates[SHRINK], rates[RETRAIN], strict=True))
    away = {kind: statistics.fmean(ours[kind] - theirs[kind] for ours, theirs in pairs) for kind in pairs[0][1]}
    right = [each.right for of_model in found.values() for each in of_model.values()]
    return [
        Said(
            "Boundary Shrink still recognises {:.1f} %, Boundary Expanding {:.1f} % and Retrain, which never saw the "
            "class, {:.1f} %.",
            tuple(unseen),
        ),
        Said("Shrink costs {:.1f} points on the other classes.", (cost,)),
        Said(
            "with no weight moved, Shrink's statistics leave {:.1f} % of the forgetting data recognised. Trained "
            "with frozen statistics, its weights leave {:.1f} %. With statistics that are estimated anew, {:.1f} and "
            "{:.1f} % are recognised.",
            (swap["statistics"]["forget_train"], weights, again[0], back),
        ),
        Said("Shrink recognises {:.1f} % of the forgetting data, Expanding {:.1f} %, Retrain {:.1f} %.", tuple(again)),
        Said(
            f"Retrain takes {{:.3g}} times as long as Shrink, and {{:.3g}} times as long as Expanding{once};",
            tuple(faster),
        ),
        Said(
            "Shrink's is {:.0f} points lower by own outputs, {:.0f} points lower by confidence and {:.0f} point "
            "higher by modified entropy, on average over {:.0f} seeds.",
            (-away["own_outputs"], -away["confidence"], away["modified_entropy"], len(SEEDS)),
        ),
        Said("right {:.0f} to {:.0f} % of the time", (min(right), max(right)), WITHIN),
    ]


def seconds(record: Record, repeats: Record, model: str) -> np.ndarray:
    """How long a model took to make in each round of either record; where none was timed, in the run that made it."""
    for timed in (record, repeats):
        rounds = []
        for number in range(ROUNDS):
            with suppress(LookupError):
                rounds.append(timed.facts("timed_round", number=number)["seconds"][model])
        if rounds:
            return np.array(rounds)
    return np.array(record.facts("outputs", model)["made"]["seconds"])


def _on_both_machines(record: Record, repeats: Record, model: str, other: str) -> tuple[float, float]:
    """One model's time over another's, the mean of the rounds: on the GPU and on the CPU, the smaller one first."""
    on_gpu = seconds(record, repeats, model) / seconds(record, repeats, other)
    on_cpu = [found[model] / found[other] for found in _cpu_rounds(record)]
    first, last = sorted((float(on_gpu.mean()), statistics.fmean(on_cpu)))
    return first, last


def _cpu_rounds(record: Record) -> list[Facts]:
    """The seconds of each method in each round on a CPU."""
    return [record.facts("cpu_round", number=number)["seconds"] for number in range(CPU_ROUNDS)]


def _instead(record: Record, repeats: Record) -> list[Said]:
    classes = [repeats.facts("trace", SHRINK, settings=LASTING, forget_class=label) for label in range(CLASSES)]
    left = [found["after"]["forget_train"] for found in classes]
    second = [repeats.facts("trace", SHRINK, settings=LASTING, forget_class=each, seed=1) for each in range(CLASSES)]
    again = [found["after"]["forget_train"] for found in second]
    theirs = [repeats.facts("ladder", RETRAIN, forget_class=label)["after"]["few_shot"] for label in range(CLASSES)]
    slower = [repeats.facts("trace", SHRINK, settings=DEEP, forget_class=label) for label in range(CLASSES)]
    beyond, deeper = (
        [_five_shots(found["few_shot"]) - _five_shots(known) for found, known in zip(made, theirs, strict=True)]
        for made in (classes, slower)
    )
    return [
        *_table(record, repeats),
        Said(
            "No audit of [the ladder](audit.ipynb), with its slack, tells the slower setting from a Retrain of this "
            "class; on {:.0f} of {:.0f} the slack alone decides. A probe of the features one block earlier tells it: "
            "it finds {:.0f} % of unseen images of the class, in a Retrain {:.0f} to {:.0f} %.",
            (
                *_by_slack(repeats),
                statistics.fmean(_earlier(repeats, SHRINK, settings=DEEP)),
                min(_earlier(repeats, RETRAIN)),
                max(_earlier(repeats, RETRAIN)),
            ),
        ),
        Said(
            "each of the {:.0f} classes in turn, from one seed, the method leaves at most {:.1f} % of the class's "
            "images recognised after the unlabelled pass (with a second seed {:.1f} %). Its settings were chosen on "
            "{:.0f} of them. {:.0f} labelled images find {:.1f} points more than in that class's Retrain, on "
            "average, and with the slower setting {:.1f} points less,",
            (len(left), max(left), max(again), 3, 5, statistics.fmean(beyond), -statistics.fmean(deeper)),
        ),
    ]


def _table(record: Record, repeats: Record) -> list[Said]:
    """The rows of the table: our two settings, the published methods that are nearest to Retrain, and Retrain."""
    sizes = {part: len(said(record, RETRAIN, part)[1]) for part in ("remain_train", "forget_train")}
    steps = math.ceil(sizes["forget_train"] / record.config["batch_size"])
    whole = record.config["epochs"] * sizes["remain_train"]
    rows = []
    for called, settings, threshold in (
        ("the lasting method", LASTING, "erased"),
        ("its slower setting", DEEP, "threshold"),  # whose output row is new, and stays
    ):
        beside = steps * min(record.config["batch_size"], settings["remaining"])
        fewer = whole / (settings["epochs"] * (sizes["forget_train"] + beside))
        means, inside = _beside_retrains(repeats, [of_trace(made, threshold) for made in _traces(repeats, settings)])
        numbers = (settings["remaining"], fewer, means[SHOTS], means[STEPS], inside.sum(), len(inside))
        rows.append(Said(f"{called} {{:,}}, without labels {{:.3g}} {{:.0f}} {{:.0f}} {{:.0f}} of {{:.0f}}", numbers))
    for called, name in (("Finetune", "finetune"), ("Amnesiac", "amnesiac")):
        epochs = repeats.config["unlearning"][name]["epochs"]
        means, inside = _beside_retrains(repeats, [of_ladder(made) for made in _ladders(repeats, name)])
        least = "≥ " if max(of_ladder(made)[STEPS] for made in _ladders(repeats, name)) >= LOOKED else ""
        rows.append(
            Said(
                f"{called} all, with labels {{:.3g}} {{:.0f}} {least}{{:.0f}} {{:.0f}} of {{:.0f}}",
                (whole / (epochs * sizes["remain_train"]), means[SHOTS], means[STEPS], inside.sum(), len(inside)),
            )
        )
    theirs = np.array([of_ladder(made) for made in _ladders(repeats, RETRAIN)])
    ends = [end(theirs[:, column]) for column in (SHOTS, STEPS) for end in (min, max)]
    return [
        Said("counts how many of {:.0f} numbers,", (theirs.shape[1],)),
        Said("lie in the range of {:.0f} Retrains.", (len(theirs),)),
        Said("found with {:.0f} labelled images, %", (5,)),
        *rows,
        Said("Retrain all, with labels – {:.0f} to {:.0f} {:.0f} to {:.0f} –", tuple(ends)),
    ]


def of_ladder(made: Facts) -> list[float]:
    """The eight numbers of the chapter on lasting, of a model that climbed the ladder."""
    after, again = made["after"], made["relearn_remaining"]
    back = max(*again["accuracy"].values(), *again["still"].values())
    recalls = after["threshold"]["recall"], _five_shots(after["few_shot"]), after["probe"]["recall"]
    return [*(after["accuracy"][part] for part in PARTS), *recalls, back, made["relearn_few"]["steps"]]


def of_trace(made: Facts, threshold: str) -> list[float]:
    """The same of a model that left a trace; `threshold`: which of its two."""
    recalls = made[threshold], _five_shots(made["few_shot"]), made["probe"]["recall"]
    return [*(made["after"][part] for part in PARTS), *recalls, made["relearn_remaining"], made["relearn_few"]]


PARTS = ("forget_train", "forget_test", "remain_test")
SHOTS, STEPS = 4, 7  # the places of two of the eight numbers
LOOKED = 128  # steps of relearning after which looking ends


def _beside_retrains(repeats: Record, made: list[list[float]]) -> tuple[np.ndarray, np.ndarray]:
    """The means of the numbers over the seeds, and which lie in the range of the Retrains."""
    means, theirs = np.mean(made, 0), np.array([of_ladder(each) for each in _ladders(repeats, RETRAIN)])
    return means, (theirs.min(0) <= means) & (means <= theirs.max(0))


def _by_slack(repeats: Record) -> tuple[int, int]:
    """On how many audits of how many the deep setting's mean lies outside the range of the Retrains as measured.

    None of them tells it from a Retrain, so the slack decides there. A distance is measured from the other Retrains.
    """
    deep, retrain = _traces(repeats, DEEP), _ladders(repeats, RETRAIN)
    ours = [
        [*(made[when]["forget_train"] for when in ("before", "after")), *of_trace(made, "threshold")[3:]]
        for made in deep
    ]
    theirs = np.array(
        [
            [*(made[when]["accuracy"]["forget_train"] for when in ("before", "after")), *of_ladder(made)[3:]]
            for made in retrain
        ]
    )
    means, profiles = np.mean(ours, 0), [made["after"]["neighbours"]["profile"] for made in retrain]

    def apart(profile: list[float], others: list[list[float]]) -> float:
        return statistics.fmean(_bits(profile, other) for other in others)

    outside = int(((means < theirs.min(0)) | (means > theirs.max(0))).sum())
    far = statistics.fmean(apart(made["profile"], profiles) for made in deep)
    between = [apart(own, [other for other in profiles if other is not own]) for own in profiles]
    return outside + (far > max(between)), len(means) + 1


def _bits(one: list[float], other: list[float]) -> float:
    """The Jensen-Shannon divergence of two profiles, in bits."""
    first, second = np.array(one), np.array(other)
    middle = (first + second) / 2
    both = [np.where(each > 0, each * np.log2(np.maximum(each, 1e-300) / middle), 0).sum() for each in (first, second)]
    return float(sum(both)) / 2


def _on_faces(faces: Record) -> list[Said]:
    """What the settings leave of a person, and on how many numbers of the audits LONGER lies among the Retrains."""
    means, inside = _beside_retrains(faces, [of_trace(made, "erased") for made in _traces(faces, LONGER)])
    plain, tuned = (_forgotten(_traces(faces, settings), "after") for settings in (LASTING, LASTING | TUNED))
    unseen = len(said(Record("lfw"), "original", "forget_test")[1])
    return [
        Said(
            "the settings of the lasting method do not forget the class: {:.1f} % is recognised. Tuned by a rule on "
            "other people, they leave {:.1f} %. Of the other settings that were tried, one ({:.0f} epochs at rate "
            "{:g}) leaves {:.1f} %, and all {:.0f} numbers lie in the range of {:.0f} Retrains. It was picked by "
            "these very numbers, and with {:.0f} unseen images",
            (plain, tuned, LONGER["epochs"], LONGER["lr"], means[0], inside.sum(), len(SEEDS), unseen),
        )
    ]


def _earlier(repeats: Record, model: str, **asked: Any) -> list[float]:
    """What a probe finds one block earlier, by seed."""
    return [repeats.facts("held_out", model, seed=seed, **asked)["earlier"] for seed in SEEDS]


def _five_shots(found: list[Facts]) -> float:
    """The recall of the better of two heads."""
    (five,) = (each for each in found if each["shots"] == 5)
    return max(five["prototype"], five["ridge"])


def _without_batchnorm(record: Record, called: str) -> list[Said]:
    """Boundary Shrink on GroupNorm at the lowest rate of each run that leaves at most 10 % of D_f."""
    cost, recalled = [], []
    for found in record.every("over_rates", "allcnn_groupnorm"):
        points = sorted(found["methods"][SHRINK], key=lambda point: point["factor"])
        first = next((point for point in points if point["before"] and point["before"]["forget_train"] <= 10), None)
        if first is not None:
            cost.append(found["original"]["remain_test"] - first["before"]["remain_test"])
            recalled.append(first["recalled"]["threshold"])
    retrain = [found["retrain"]["threshold"] for found in record.every("yardsticks", "allcnn_groupnorm")]
    runs = "run" if len(retrain) == 1 else "runs"
    return [
        Said(
            f"on {called} ({{:.0f}} {runs}) Shrink costs {{:.1f}} points, and a threshold recalls {{:.0f}} % of unseen "
            "images of the class, after Retrain {:.0f} %",
            (len(retrain), statistics.fmean(cost), statistics.fmean(recalled), statistics.fmean(retrain)),
        )
    ]


def _verdicts(record: Record, repeats: Record) -> list[Said]:
    """The sizes of the effects behind the verdicts; the paper's own numbers stand in the words."""

    def told(what: str, model: str, of: str) -> np.ndarray:
        return np.array([repeats.facts("told", model, seed=seed)[what][of] for seed in SEEDS])

    left = {name: told("accuracy", name, "forget_train") for name in (SHRINK, EXPANDING)}
    kept = {name: told("accuracy", name, "remain_test") for name in (SHRINK, RETRAIN, *WEAK)}
    less = kept[SHRINK] - np.maximum(*(kept[name] for name in WEAK))
    entropy = {name: told("entropy", name, "forget_train") for name in (SHRINK, RETRAIN, "random_labels")}
    beyond = entropy["random_labels"] - entropy[RETRAIN] - np.abs(entropy[SHRINK] - entropy[RETRAIN])
    attacks = tuple(repeats.facts("told", RETRAIN)["asr"])
    judged = ("original", RETRAIN, SHRINK, "finetune", "fisher", "amnesiac")
    asr = {name: {kind: told("asr", name, kind) for kind in attacks} for name in judged}
    limits = {kind: max(1.0, 1.96 * math.sqrt(2) * _deviation(asr[RETRAIN][kind])) for kind in attacks}
    original = {kind: float((asr["original"][kind] - asr[RETRAIN][kind]).mean()) for kind in attacks}
    tells = [kind for kind in attacks if abs(original[kind]) >= limits[kind]]  # the original would not pass as near
    tells_above = [kind for kind in attacks if original[kind] > limits[kind]]
    reads = [kind for kind in attacks if asr[RETRAIN][kind].mean() >= 5]  # Retrain would not pass as having no ASR

    def ends(values: Mapping[str, np.ndarray], kinds: list[str]) -> tuple[float, float]:
        means = [float(values[kind].mean()) for kind in kinds]
        return min(means), max(means)

    def above(name: str) -> dict[str, np.ndarray]:
        return {kind: asr[name][kind] - asr[RETRAIN][kind] for kind in attacks}

    shares = len(said(record, RETRAIN, "remain_train")[1]) / record.config["unlearning"]["fisher"]["samples"]
    island = {
        name: np.array([repeats.facts("clustered", name, seed=seed)["forget"] for seed in SEEDS])
        for name in (SHRINK, RETRAIN)
    }
    several = [repeats.facts("told", SHRINK, seed=seed, settings={"search": "pgd"}) for seed in SEEDS]
    fewer = left[SHRINK] - np.array([found["accuracy"]["forget_train"] for found in several])
    on_both = partial(_on_both_machines, record, repeats)
    return [
        Said("as the paper says ({:.1f} %; paper: 5.94 %)", (left[SHRINK].mean(),)),
        Said("than Shrink ({:+.1f} points; paper: +3.02 points)", ((left[EXPANDING] - left[SHRINK]).mean(),)),
        Said("than Shrink ({:+.1f} points; paper: +1.32 points)", (less.mean(),)),
        Said("further beyond Retrain's than Shrink does ({:+.2f} nats; paper: far beyond)", (beyond.mean(),)),
        Said("keeps a high ASR ({:+.1f} to {:+.1f} points; paper: fairly high)", ends(above("finetune"), tells_above)),
        Said("has an ASR of 0 ({:.1f} to {:.1f} %; paper: 0 %)", ends(asr["fisher"], reads)),
        Said("Amnesiac's ASR is Retrain's ({:+.1f} to {:+.1f} points; paper: close)", ends(above("amnesiac"), tells)),
        Said("Shrink's ASR is Retrain's ({:+.1f} to {:+.1f} points; paper: quite close)", ends(above(SHRINK), tells)),
        Said(
            "as much faster than Retrain as the paper says ({:.3g} to {:.3g} times; paper: 4.8 times)",
            on_both(RETRAIN, SHRINK),
        ),
        Said(
            "Fisher takes longer than Retrain, which depends on the machine ({:.3g} to {:.3g} times in proportion to "
            "all of Dr; paper: 2.7 or 5.4 times the original's training)",
            tuple(shares * ratio for ratio in on_both("fisher", RETRAIN)),
        ),
        Said(
            "slower than Expanding as the paper says ({:.3g} to {:.3g} times; paper: 6.2 times)",
            on_both(SHRINK, EXPANDING),
        ),
        Said(
            "as Retrain does ({:+.2f} in the silhouette, which is {:.0f} for an island; paper: the cluster",
            ((island[SHRINK] - island[RETRAIN]).mean(), 1),
        ),
        Said("as several ({:+.1f} points; paper: no difference)", (fewer.mean(),)),
    ]  # fmt: skip


WEAK = ("negative_gradient", "random_labels")


def _deviation(values: np.ndarray) -> float:
    return statistics.stdev(values.tolist())


if __name__ == "__main__":
    told: Callable[[Said], str] = lambda each: f"{each}" + (f" (within {each.within:g})" if each.within else "")  # noqa: E731
    print("\n".join(map(told, front_page())))
