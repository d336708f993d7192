"""A sweep: a task for each model, whoever carries it out; the interval over the runs; what becomes of the lost."""

import contextlib
import csv
import io
import json
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest

import bu_core
from bu_core.__main__ import main
from bu_core.experiment import sweep as sweeping
from bu_core.experiment import workers
from bu_core.experiment.metrics import Metrics
from bu_core.experiment.sweep import Order, Sweep, sweep, tidy
from bu_core.unlearning import METHODS
from tests.helpers import refusal, wrecked

SMALL = {
    "shadow_models": 0,
    "methods": ["boundary_expanding"],
    "unlearning": {"boundary_expanding": {"epochs": 1}},
    "epochs": 1,
}


def swept(results: Path, classes: list[int], seeds: list[int], **given: Any) -> tuple[Sweep, list[str]]:
    """A sweep, and what was fitted for it, sorted."""
    said: list[str] = []
    found = sweep("smoke", SMALL | {"results_dir": str(results)}, classes, seeds, said.append, **given)
    return found, sorted(line.split(", ")[-1].split(":")[0] for line in said if " of " in line)


def numbers(run: Metrics) -> dict[str, Any]:
    """All that a run has but its times and its machine."""
    content = run.as_json()
    for found in content["methods"].values():
        del found["seconds"], found["environment"]
    return {"methods": content["methods"], "class": run.forgotten, "seed": run.config["seed"]}


@pytest.fixture(scope="module")
def here(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Sweep, list[str]]:
    """The folder of a sweep that this process made, the sweep, and what was fitted."""
    folder = tmp_path_factory.mktemp("here")
    return folder, *swept(folder, [3, 5], [0, 1])


def test_a_sweep_runs_every_class_with_every_seed_and_goes_on_where_it_was(here: tuple[Path, Sweep, list[str]]):
    folder, first, fitted = here
    assert [(run.config["forget_class"], run.config["seed"]) for run in first.runs] == [(3, 0), (5, 0), (3, 1), (5, 1)]
    assert fitted == ["boundary_expanding"] * 4 + ["original"] * 2, "the classes of a seed share the original"
    assert swept(folder, [3, 5], [0, 1]) == (first, [])
    content = json.loads((folder / "sweep.json").read_text())
    assert content["runs"] == [run.as_json() for run in first.runs]
    assert content["summary"] == {
        method: {name: vars(found) for name, found in summary.items()} for method, summary in first.summary.items()
    }
    assert not list((folder / "store").glob(".sweep-*")), "nothing is left of the token"


def test_a_sweep_that_was_stopped_goes_on(tmp_path: Path):
    def stop(line: str) -> None:
        if "boundary_expanding" in line:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        sweep("smoke", SMALL | {"results_dir": str(tmp_path)}, [3, 5], [0], stop)
    assert swept(tmp_path, [3, 5], [0])[1] == ["boundary_expanding"]


def test_a_request_is_swept_over_seeds_alone(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    given = SMALL | {"results_dir": str(tmp_path), "forget": {"share": 0.1}}
    found = sweep("smoke", given, [None], [0, 1], lambda line: None)
    assert [(run.forgotten, run.config["seed"]) for run in found.runs] == [
        ("10 % of all images", 0),
        ("10 % of all images", 1),
    ]
    assert all(run.dataset.sizes["forget_train"] == 126 for run in found.runs), "10 % of 1,257 images"
    command = ["sweep", "smoke", "--classes", "4", "-p", "forget", "{share: 0.1}", "-p", "results_dir", str(tmp_path)]
    assert main(command) == 1
    assert "--classes='4': is for one class at a time" in capsys.readouterr().err


def test_the_summary_is_over_the_runs(here: tuple[Path, Sweep, list[str]]):
    found = here[1]
    values = [run.methods["original"].accuracy["remain_test"] for run in found.runs]
    summary = found.summary["original"]
    assert summary["remain_test"].mean == pytest.approx(sum(values) / 4)
    assert set(summary) == {"remain_train", "forget_train", "remain_test", "forget_test", "asr", "seconds"}
    assert all(measure.half_width is not None for measure in summary.values())


def test_the_csv_has_a_line_for_each_model_of_each_run(here: tuple[Path, Sweep, list[str]]):
    folder, found, _ = here
    lines = list(csv.DictReader((folder / "sweep.csv").open()))
    assert [(line["seed"], line["forget_class"], line["method"]) for line in lines] == [
        (str(seed), name, method) for seed in (0, 1) for name in "35" for method in ("original", "boundary_expanding")
    ]
    made = found.runs[2].methods["boundary_expanding"]
    assert float(lines[5]["forget_test"]) == made.accuracy["forget_test"]
    assert float(lines[5]["asr_own_outputs"]) == made.attacks["own_outputs"].asr.value
    assert float(lines[5]["seconds"]) == made.seconds.median


def test_the_summary_of_a_method_that_diverged_in_one_run_is_over_the_others(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    """Whichever run it was, the first one too; and the CSV has its line, without numbers."""
    monkeypatch.setitem(METHODS, "wrecked", wrecked(lambda task: task.split.forget_class == 3))
    given = SMALL | {"results_dir": str(tmp_path), "methods": ["wrecked"], "unlearning": {}}
    found = sweep("smoke", given, [3, 5], [0], lambda line: None)
    assert [run.diverged for run in found.runs] == [["wrecked"], []]
    assert found.summary["wrecked"]["remain_test"].mean == pytest.approx(
        found.runs[1].methods["wrecked"].accuracy["remain_test"]
    )
    assert found.summary["wrecked"]["remain_test"].half_width is None, "one run is left"
    assert found.summary["original"]["remain_test"].half_width is not None
    line = list(csv.DictReader(io.StringIO(tidy(found.runs))))[1]
    assert (line["method"], line["diverged"], line["remain_test"]) == ("wrecked", "True", "")


# --- on several processes -----------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def cluster() -> Iterator[Any]:
    """Two workers on this machine, as whoever has a cluster starts them."""
    distributed = pytest.importorskip("distributed")
    given = {"n_workers": 2, "threads_per_worker": 1, "dashboard_address": None, "memory_limit": 0}
    with distributed.LocalCluster(**given, silence_logs=50) as started:
        yield started


@pytest.mark.slow
def test_processes_of_joblib_find_the_same(here: tuple[Path, Sweep, list[str]], tmp_path: Path):
    found, fitted = swept(tmp_path, [3, 5], [0, 1], jobs=2)
    assert [numbers(run) for run in found.runs] == [numbers(run) for run in here[1].runs]
    assert fitted == here[2]


@pytest.mark.slow
def test_processes_of_joblib_are_started_anew_where_one_is_killed():
    with workers.workers(2, None) as hands:
        with pytest.raises(hands.lost):
            hands.submit(os._exit, 1).result()
        assert hands.submit(abs, -1).result() == 1


@pytest.mark.slow
def test_no_process_of_joblib_outlives_the_one_that_started_it_and_was_killed():
    program = (
        "import time\n"
        "from bu_core.experiment.workers import workers\n"
        "with workers(2, None) as hands:\n"
        "    started = [hands.submit(time.sleep, 0.1) for _ in range(2)]\n"
        "    print(*[each.result() for each in started], flush=True)\n"
        "    time.sleep(60)\n"
    )
    with subprocess.Popen([sys.executable, "-c", program], stdout=subprocess.PIPE, text=True) as parent:
        assert parent.stdout is not None and parent.stdout.readline() == "None None\n"
        started = psutil.Process(parent.pid).children(recursive=True)
        parent.kill()
    assert len(started) >= 2 and not psutil.wait_procs(started, timeout=20)[1]


@pytest.mark.slow
def test_a_worker_of_a_local_cluster_does_not_watch_itself():
    dask = pytest.importorskip("dask")
    pytest.importorskip("distributed")
    with workers.workers(1, "local:1") as hands:
        told = {name: hands.submit(dask.config.get, name) for name in workers.UNWATCHED}
        assert {name: found.result() for name, found in told.items()} == workers.UNWATCHED
        assert hands.submit(os.getenv, "MALLOC_TRIM_THRESHOLD_").result() is None


@pytest.mark.slow
def test_a_cluster_finds_the_same_with_and_without_a_shared_folder_and_though_a_worker_is_killed(
    here: tuple[Path, Sweep, list[str]], tmp_path: Path, cluster: Any, monkeypatch: pytest.MonkeyPatch
):
    """Both times on the same two workers, since to start one takes seconds."""
    (first, second, *others), address = [numbers(run) for run in here[1].runs], cluster.scheduler_address
    # The workers look for a token that is nowhere, so they take the folder for one that they do not see.
    monkeypatch.setattr(sweeping, "Order", lambda settings, asked, token: Order(settings, asked, "nowhere"))
    store = tmp_path / "sent" / "store"
    store.mkdir(parents=True)
    for path in (here[0] / "store").glob("original-*"):  # the originals are there already: they are sent, not made
        (store / path.name).write_bytes(path.read_bytes())
    sent, fitted = swept(tmp_path / "sent", [3, 5], [0], scheduler=address)
    assert [numbers(run) for run in sent.runs] == [first, second]
    assert fitted == ["boundary_expanding"] * 2
    held = [{path.name for path in folder.glob("*.safetensors")} for folder in (store, here[0] / "store")]
    assert held[0] < held[1]
    assert len(held[0]) == 2 + 2 * 5, "weights of 2 originals; of 2 classes a model, and outputs and attacks of both"
    monkeypatch.undo()

    killed = threading.Event()

    def kill(line: str) -> None:
        if " of " in line and not killed.is_set():
            killed.set()
            os.kill(next(iter(cluster.workers.values())).pid, signal.SIGKILL)

    found = sweep("smoke", SMALL | {"results_dir": str(tmp_path / "shared")}, [3, 5], [0, 1], kill, scheduler=address)
    assert killed.is_set()
    assert [numbers(run) for run in found.runs] == [first, second, *others]
    assert found.lost == []


def test_a_task_whose_worker_is_lost_again_and_again_costs_its_run_alone(
    here: tuple[Path, Sweep, list[str]], monkeypatch: pytest.MonkeyPatch
):
    folder, first, _ = here
    with workers.workers(1, None) as hands:
        pass

    class Lost(Exception):
        pass

    def carry_out(order: Order) -> Any:
        if order.task and (order.task.name, order.task.seed, order.task.forget_class) == ("boundary_expanding", 1, "3"):
            raise Lost
        return done(order)

    done = sweeping.carry_out
    hands.lost = (Lost,)
    monkeypatch.setattr(sweeping, "workers", lambda jobs, scheduler: contextlib.nullcontext(hands))
    monkeypatch.setattr(sweeping, "carry_out", carry_out)
    found, _ = swept(folder, [3, 5], [0, 1])
    assert found.lost == ["seed 1, class 3"]
    assert found.runs == [run for run in first.runs if (run.forgotten, run.config["seed"]) != ("3", 1)]
    monkeypatch.setattr(sweeping, "TRIES", 0)
    assert "every worker was lost" in refusal(swept, folder, [3], [1])


# --- what cannot be -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("scheduler", ["local", "local:0", "local:x", "host:8786", "", "tcp://"])
def test_an_address_that_is_none_is_refused(scheduler: str, tmp_path: Path):
    assert "must be an address such as tcp://host:8786" in refusal(swept, tmp_path, [3], [0], scheduler=scheduler)


def test_an_address_that_nobody_answers_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    pytest.importorskip("distributed")
    monkeypatch.setattr(workers, "ANSWERS_WITHIN", 0.5)
    message = refusal(swept, tmp_path, [3], [0], scheduler="tcp://127.0.0.1:9")
    assert message.startswith("--scheduler='tcp://127.0.0.1:9': nobody answers within 0.5 seconds")


def test_without_dask_the_extra_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setitem(sys.modules, "distributed", None)
    message = refusal(swept, tmp_path, [3], [0], scheduler="local:2")
    assert "pip install 'boundary-unlearning-book[cluster]'" in message


@pytest.mark.slow
def test_a_worker_of_another_version_is_named(tmp_path: Path, cluster: Any, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(workers, "__version__", "9.9")
    workers.versions.cache_clear()
    message = refusal(swept, tmp_path, [3], [0], scheduler=cluster.scheduler_address)
    workers.versions.cache_clear()
    assert message.startswith("--scheduler: the worker tcp://127.0.0.1:")
    assert f"has bu_core {bu_core.__version__}, and 9.9 is asked for" in message


def test_a_worker_that_joins_later_and_has_other_code_is_named():
    order = Order({}, workers.versions() | {"source": "another"}, "")
    assert f"process {os.getpid()} on " in refusal(sweeping.carry_out, order)


def test_another_build_of_torch_is_no_other_version():
    workers.refuse_other("w", {"torch": "2.13.0+cu130"}, {"torch": "2.13.0+cpu"})
    assert "has torch not at all" in refusal(workers.refuse_other, "w", {}, {"torch": "2.13.0"})


def test_a_wrong_setting_is_refused_before_any_work(tmp_path: Path):
    assert refusal(swept, tmp_path / "new", [11], [0]).startswith("forget_class=11")
    assert not (tmp_path / "new").exists()


def test_a_setting_that_a_task_refuses_ends_the_sweep(tmp_path: Path):
    given = SMALL | {"results_dir": str(tmp_path), "lr": 1e30}
    assert "the original diverged" in refusal(sweep, "smoke", given, [3], [0], lambda line: None)
