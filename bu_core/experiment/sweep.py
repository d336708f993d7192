"""A profile over several forgotten classes and seeds, on one machine or many: means with 95 % intervals.

One task makes one model, or measures one run once its models are there; `workers.py` says who carries tasks out. What a
task makes lies in the store, so a sweep that was stopped goes on where it was, and a worker that is lost costs the task
that it had.
"""

import copy
import csv
import io
import json
import os
import socket
import statistics
import tempfile
import time
import uuid
from collections import Counter, defaultdict
from collections.abc import Callable, Mapping, Sequence, Set
from concurrent.futures import FIRST_COMPLETED, CancelledError, Future, wait
from dataclasses import dataclass, field, replace
from functools import lru_cache
from pathlib import Path
from typing import Any

import torch
from tqdm import tqdm

from ..checks import SettingError
from ..config import Config
from ..data import DATASETS, SPLITS
from ..data.request import class_index
from ..measures import Interval, interval
from ..results import Artefact, as_json
from ..store import Store, write_bytes, write_json
from .experiment import Experiment
from .metrics import Metrics, attack, metrics
from .record import Record
from .workers import Workers, refuse_other, versions, workers

TRIES = 3  # how often a task is begun whose worker is lost each time
MEASURES = "measures"  # the name of the task that measures a run


@dataclass(frozen=True)
class Sweep:
    """The `runs`, and `summary.<method>.<measure>`: of the four accuracies, the ASR and the seconds.

    Half the width of an interval is Student's t over the runs, None for a single run; a method that diverged in some
    has the others. The runs of one seed share their original, so they are not independent of each other: with several
    classes and one seed the interval speaks of classes, not of seeds. `lost`: the runs without numbers, since every
    worker that had one of their tasks was lost.
    """

    runs: list[Metrics]
    summary: dict[str, dict[str, Interval]]
    lost: list[str]


def sweep(
    profile: str,
    overrides: Mapping[str, Any],
    classes: Sequence[int | str | None],
    seeds: Sequence[int],
    say: Callable[[str], None],
    jobs: int = 1,
    scheduler: str | None = None,
) -> Sweep:
    """Run a profile for each class and seed; `jobs` and `scheduler` are those of `workers`.

    A class that is None stands for what the profile's `forget` asks for.

    The results folder then holds the whole in `sweep.json`, and a line for each model of each run in `sweep.csv`.
    """
    asked = Config.from_profile(profile, **overrides)
    if known := DATASETS[asked.dataset].classes:
        classes = [name if name is None else known[class_index(name, known, asked.dataset)] for name in classes]
    for seed in seeds:
        replace(asked, seed=seed, elsewhere=())  # a wrong one is refused before any work
    folder = Path(asked.results_dir).absolute()
    Store(folder / "store", f"results_dir={asked.results_dir!r}")
    token = folder / "store" / f".sweep-{uuid.uuid4().hex}"  # a worker that finds it sees this very folder
    token.touch()
    tasks = _tasks(asked, classes, seeds)
    try:
        with workers(jobs, scheduler) as hands:
            if not hands.count():
                say(f"{scheduler} has no worker yet: waiting for one")
            told = Order(asked.as_dict() | {"results_dir": str(folder)}, dict(hands.versions), token.name)
            found = _Carrying(told, tasks, hands, folder / "store", say).out()
    finally:
        token.unlink(missing_ok=True)
        _base.cache_clear()
    runs = [found[task] for task in tasks if task.name == MEASURES and task in found]
    lost = [task.where for task in tasks if task.name == MEASURES and task not in found]
    if not runs:
        raise SettingError(f"{scheduler or f'--jobs={jobs}'}: every worker was lost; run the same command again")
    summary = {}
    for method in dict.fromkeys(name for run in runs for name in run.methods):
        results = [run.methods[method] for run in runs if method in run.methods]
        summary[method] = {part: interval([each.accuracy[part] for each in results]) for part in SPLITS}
        summary[method]["asr"] = interval([each.attacks["own_outputs"].asr.value or 0.0 for each in results])
        summary[method]["seconds"] = interval([each.seconds.median for each in results])
    write_json(folder / "sweep.json", {"runs": [run.as_json() for run in runs], "summary": as_json(summary)})
    write_bytes(folder / "sweep.csv", tidy(runs).encode())
    return Sweep(runs, summary, lost)


def tidy(runs: Sequence[Metrics]) -> str:
    """One line for each model of each run, as CSV: what was forgotten, the seed, and a column for each measure.

    A model that diverged has no numbers.
    """
    lines: list[dict[str, Any]] = []
    for run in runs:
        which = {"dataset": run.dataset.name, "seed": run.config["seed"], "forget_class": run.forgotten}
        for name, made in run.methods.items():
            line = which | {"method": name, "diverged": False} | made.accuracy
            line |= {f"entropy_{part}": value for part, value in made.entropy.mean.items()}
            line |= {f"asr_{kind}": found.asr.value for kind, found in made.attacks.items()}
            lines.append(line | {"seconds": made.seconds.median})
        lines += [which | {"method": name, "diverged": True} for name in run.diverged]
    text = io.StringIO()
    table = csv.DictWriter(text, list(dict.fromkeys(name for line in lines for name in line)), lineterminator="\n")
    table.writeheader()
    table.writerows(lines)
    return text.getvalue()


# --- the tasks ----------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Task:
    """A model to make, or a run to measure. `name`: of a model, `shadow-N`, or MEASURES.

    `forget_class`: None where what is forgotten is no single class, and stands in the profile.
    """

    name: str
    forget_class: int | str | None
    seed: int

    @property
    def where(self) -> str:
        one_class = self.name != "original" and self.forget_class is not None
        return f"seed {self.seed}" + (f", class {self.forget_class}" if one_class else "")


def _tasks(config: Config, classes: Sequence[int | str | None], seeds: Sequence[int]) -> dict[Task, list[Task]]:
    """Every task, and those that come before it. One original serves all classes of its seed."""
    tasks: dict[Task, list[Task]] = {}
    for seed in seeds:
        original = Task("original", classes[0], seed)
        tasks[original] = []
        for name in classes:
            shadows = [Task(f"shadow-{number}", name, seed) for number in range(config.shadow_models)]
            models = [Task(method, name, seed) for method in config.methods]
            tasks |= {task: [] for task in shadows} | {task: [original] for task in models}
            tasks[Task(MEASURES, name, seed)] = [original, *shadows, *models]
    return tasks


@dataclass(frozen=True)
class Order:
    """What a worker is told.

    `settings`: of the profile. `versions`: those of whoever asks. `token`: a file in the store that is seen where the
    folder is shared. `held`: the names of what the store holds, told where it is not shared, and of these `files` came
    along.
    """

    settings: dict[str, Any]
    versions: dict[str, str]
    token: str
    task: Task | None = None
    held: frozenset[str] | None = None
    files: Mapping[str, bytes] = field(default_factory=dict)


@dataclass(frozen=True)
class Answer:
    """What a worker answers.

    `metrics`: of a run. `settled`: device and precision, where no task was given. `files`: what it made, where it does
    not see the folder. `wanted`: what it needs of the store before it can begin; None where it needs nothing more.
    """

    said: list[str]
    seconds: float
    metrics: Metrics | None = None
    settled: dict[str, Any] = field(default_factory=dict)
    files: Mapping[str, bytes] = field(default_factory=dict)
    wanted: frozenset[str] | None = None


class _Wanted(Exception):
    """An artefact that lies in the store of whoever asks, and not yet here."""


class _Sent(Store):
    """The store of a worker that does not see the folder: what the other holds is sent for, not computed again."""

    def __init__(self, *folders: Any, held: frozenset[str]):
        super().__init__(*folders)
        self.held = held

    def get(self, kind: str, key: Mapping[str, Any], make: Callable[[], Artefact]) -> Artefact:
        path = self.path(kind, key)
        if path.name in self.held and not path.exists():
            raise _Wanted(path.name)
        return super().get(kind, key, make)


def carry_out(order: Order) -> Answer:
    """Do a task where this process runs, on one thread. Runs on a worker."""
    refuse_other(f"process {os.getpid()} on {socket.gethostname()}", versions(), order.versions)
    started, said, settings, held = time.perf_counter(), list[str](), order.settings, order.held or frozenset()
    shared = (Path(settings["results_dir"]) / "store" / order.token).exists()
    if not shared:
        if order.held is None:
            return Answer(said, 0.0, wanted=held)
        settings = settings | {"results_dir": _own(order.token).name}
        for name, content in order.files.items():
            write_bytes(Path(settings["results_dir"]) / "store" / name, content)
    torch.set_num_threads(1)
    task = order.task
    if task and DATASETS[settings["dataset"]].classes is None:
        settings = settings | {"seed": task.seed}  # it decides which people there are
    base = _base(json.dumps(settings))
    if task is None:
        return Answer(said, 0.0, settled={"device": base.device.type, "precision": base.precision})
    change = {} if task.forget_class is None else {"forget_class": task.forget_class}
    there = base.variation(base.config.methods, seed=task.seed, **change)
    there.say, store = said.append, base.store
    there.store = copy.copy(store) if shared else _Sent(store.folder, store.setting, store.beside, held=held)
    there.store.served = set()
    try:
        found = _done(there, task.name)
    except _Wanted as name:
        return Answer(said, 0.0, wanted=frozenset(name.args))
    made = {} if shared else {path.name: path for path in there.store.served if path.exists()}
    files = {name: path.read_bytes() for name, path in made.items() if name not in held}
    return Answer(said, time.perf_counter() - started, found, files=files)


def _done(experiment: Experiment, name: str) -> Metrics | None:
    if name == MEASURES:
        return metrics(experiment)
    if name == "original":
        experiment.weights(name)
    elif name.startswith("shadow-"):
        experiment.shadow(int(name.removeprefix("shadow-")))
    elif not experiment.answered(name).diverged:
        attack(experiment, name)
    return None


@lru_cache(maxsize=1)
def _base(settings: str) -> Experiment:
    """The experiment that a worker's tasks vary, so that its data are read once. A record's models need no making."""
    config = Config.from_mapping(json.loads(settings))
    return Experiment(config, extend=Record.find(replace(config, data_dir=None)))


@lru_cache(maxsize=1)
def _own(token: str) -> tempfile.TemporaryDirectory:
    """A folder of this process alone for one sweep, gone when the next one begins or the process ends."""
    return tempfile.TemporaryDirectory(prefix="sweep-")


# --- carrying them out --------------------------------------------------------------------------------------------


class _Carrying:
    """Hands every task to a worker once those before it are done, and tells how far it is."""

    def __init__(
        self,
        told: Order,
        tasks: Mapping[Task, Sequence[Task]],
        hands: Workers,
        store: Path,
        say: Callable[[str], None],
    ):
        self.told, self.tasks, self.hands, self.store, self.say = told, tasks, hands, store, say
        self.sending, self.sent = False, dict[Task | None, frozenset[str]]()
        self.running, self.tries = dict[Future, Task | None](), Counter[Task | None]()
        self.seconds = defaultdict[str, list[float]](list)

    def out(self) -> dict[Task, Metrics]:
        """Carry all out; the metrics of the runs. Raises SettingError where a task does, and hands out no more."""
        self._settle()
        found, done, waiting = dict[Task, Metrics](), set[Task](), list(self.tasks)
        with tqdm(total=len(waiting), desc="sweep", unit="task", disable=None, leave=False) as bar:
            while waiting or self.running:
                for task in [task for task in waiting if done.issuperset(self.tasks[task])]:
                    if len(self.running) < self.hands.ahead:
                        waiting.remove(task)
                        self._hand_out(task)
                if not self.running:  # what waits needs something that was lost
                    break
                for made, answer in self._answers():
                    assert made is not None  # that one was answered by `_settle`
                    done.add(made)
                    if answer.metrics:
                        found[made] = answer.metrics
                    if answer.said or answer.metrics:
                        self.seconds[made.name].append(answer.seconds)
                    bar.update()
                    bar.set_postfix_str(left := self._left(self.tasks.keys() - done))
                    with bar.external_write_mode():
                        for line in answer.said:
                            self.say(f"{len(done)} of {len(self.tasks)}{left}: {made.where}, {line}")
        return found

    def _settle(self) -> None:
        """What `auto` takes is asked of a worker once, so that all do the same."""
        self._hand_out(None)
        while self.running:
            for _, answer in self._answers():
                settings = self.told.settings | answer.settled
                self.told = replace(self.told, settings=settings)

    def _hand_out(self, task: Task | None, wanted: frozenset[str] = frozenset()) -> None:
        order = replace(self.told, task=task)
        if self.sending:
            held = frozenset(path.name for path in self.store.glob("*.safetensors"))
            self.sent[task] = self.sent.get(task, frozenset()) | wanted  # another worker may have it now
            files = {name: (self.store / name).read_bytes() for name in self.sent[task]}
            order = replace(order, held=held, files=files)
        self.running[self.hands.submit(carry_out, order)] = task

    def _answers(self) -> list[tuple[Task | None, Answer]]:
        """The tasks that were done, after waiting for one; those whose worker was lost are handed out again."""
        answers = []
        for future in wait(self.running, return_when=FIRST_COMPLETED).done:
            task = self.running.pop(future)
            try:
                answer = future.result()
            except self.hands.lost:
                self.tries[task] += 1
                name = f"{task.name} of {task.where}" if task else "the first question"
                again = self.tries[task] < TRIES
                self.say(f"{name}: its worker was lost; {'begun again' if again else 'given up'}")
                if again:
                    self._hand_out(task)
                continue
            except CancelledError:
                raise SettingError("--scheduler: is gone; start it, and run the same command again to go on") from None
            if answer.wanted is not None:
                self.sending = True
                self._hand_out(task, answer.wanted)
                continue
            for name, content in answer.files.items():
                write_bytes(self.store / name, content)
            answers.append((task, answer))
        return answers

    def _left(self, tasks: Set[Task]) -> str:
        """The time that tasks will take at the mean of their kind so far; "" where nothing had to be computed."""
        taken = [seconds for each in self.seconds.values() for seconds in each]
        if not (tasks and taken):
            return ""
        each = (statistics.fmean(self.seconds[task.name] or taken) for task in tasks)
        seconds = sum(each) / max(1, self.hands.count())
        return f", about {seconds / 60:.0f} min left" if seconds > 90 else f", about {seconds:.0f} s left"
