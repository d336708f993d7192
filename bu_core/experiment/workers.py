"""Who carries out the tasks of a sweep: this process, processes of joblib's on this machine, or a Dask cluster.

All three are asked alike: `submit(function, argument)` gives a future. A function runs on one thread, so its numbers do
not depend on who runs it.
"""

import contextlib
import hashlib
import os
import re
import signal
import threading
import time
import warnings
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import BrokenExecutor, Executor, Future
from functools import cache
from pathlib import Path
from typing import Any

import torch

from .. import __version__
from ..checks import SettingError, shown

ANSWERS_WITHIN = 10  # seconds in which a scheduler has to answer
# Several progress bars of epochs would write over each other, and threads that share a core wait for each other.
QUIET = {"TQDM_DISABLE": "1", "OMP_NUM_THREADS": "1"}
# Each of Dask's processes would look at its own stack a hundred times a second and ask fifty times whether it answers.
# Nobody reads that here, and with four idle workers it took 6 % of two cores.
UNWATCHED = {"distributed.worker.profile.enabled": False, "distributed.admin.tick.interval": "1s"}


class Workers:
    """`count()` workers: `submit` hands them a task, `ahead` tasks at the most at a time.

    `lost`: what a future raises whose worker is gone. `versions`: what a worker must have, as it may be another's.
    """

    def __init__(
        self,
        start: Callable[[], Any],
        count: Callable[[], int],
        lost: tuple[type[Exception], ...] = (),
        ahead: int = 10**9,
        versions: Mapping[str, str] | None = None,
    ):
        self._start, self._executor = start, start()
        self.count, self.lost, self.ahead, self.versions = count, lost, ahead, versions or {}

    def submit(self, function: Callable[[Any], Any], argument: Any) -> Future:
        """A future of what the function answers."""
        try:
            return self._executor.submit(function, argument)
        except BrokenExecutor:  # joblib's processes end together where one is killed, and are started anew
            self._executor = self._start()
            return self._executor.submit(function, argument)


class _Here(Executor):
    """This very process, which carries out a task when it is handed one."""

    def submit(self, function: Callable[..., Any], /, *arguments: Any, **named: Any) -> Future:
        future: Future = Future()
        try:
            future.set_result(function(*arguments, **named))
        except Exception as error:
            future.set_exception(error)
        return future


@contextlib.contextmanager
def workers(jobs: int, scheduler: str | None) -> Iterator[Workers]:
    """`jobs` processes on this machine (1: this process), or the workers of a Dask `scheduler`.

    That is the address of one which runs, such as tcp://host:8786, or `local:N` for N workers on this machine. Raises
    SettingError where nobody answers there within ANSWERS_WITHIN seconds, and where a worker has another version of
    this package or of torch.
    """
    if scheduler is not None:
        with _dask(scheduler) as found:
            yield found
    elif jobs == 1:
        threads = torch.get_num_threads()
        torch.set_num_threads(1)
        try:
            yield Workers(_Here, lambda: 1, ahead=1)
        finally:
            torch.set_num_threads(threads)
    else:
        from joblib.externals.loky import get_reusable_executor

        def start() -> Any:
            bound = {"initializer": _bound_to, "initargs": (os.getpid(),)}
            return get_reusable_executor(jobs, timeout=None, env=QUIET, **bound)

        try:
            yield Workers(start, lambda: jobs, (BrokenExecutor,), ahead=jobs)
        except BaseException:
            start().shutdown(kill_workers=True)  # nobody waits for what they are at
            raise
        start().shutdown()


def _bound_to(parent: int) -> None:
    """Make this process of joblib's leave Ctrl-C to its `parent`, and end soon after it, even where that was killed."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)

    def watch() -> None:
        while os.getppid() == parent:
            time.sleep(1)
        os._exit(1)

    threading.Thread(target=watch, daemon=True).start()


@contextlib.contextmanager
def _dask(scheduler: str) -> Iterator[Workers]:
    setting = f"--scheduler={shown(scheduler)}"
    local = re.fullmatch(r"local:([1-9]\d{0,3})", scheduler)
    if not local and not re.fullmatch(r"\w+://\S+", scheduler):
        raise SettingError(f"{setting}: must be an address such as tcp://host:8786, or local:N for N workers here")
    try:
        import dask
        from distributed import Client, KilledWorker, LocalCluster
    except ImportError as error:
        missing = f"needs {error.name}; pip install 'boundary-unlearning-book[cluster]'"
        raise SettingError(f"{setting}: {missing}") from None
    with contextlib.ExitStack() as opened:
        # Weights travel with a task where a worker does not see the folder, and Dask warns of every large task.
        opened.enter_context(warnings.catch_warnings())
        warnings.filterwarnings("ignore", "Sending large graph", UserWarning)
        address: Any = scheduler
        if local:
            opened.enter_context(dask.config.set({"distributed.nanny.pre-spawn-environ": QUIET} | UNWATCHED))
            options: dict[str, Any] = {"n_workers": int(local[1]), "threads_per_worker": 1, "dashboard_address": None}
            with _deaf():
                address = opened.enter_context(LocalCluster(**options, memory_limit=0, silence_logs=50))
        try:
            client = opened.enter_context(Client(address, timeout=ANSWERS_WITHIN))
        except (OSError, ValueError, RuntimeError) as error:
            within = f"nobody answers within {ANSWERS_WITHIN} seconds"
            raise SettingError(f"{setting}: {within}; is `dask scheduler` running there? ({shown(error)})") from None
        asked = {} if local else versions()
        for worker, its in client.run(versions, on_error="return").items() if asked else ():
            refuse_other(worker, its if isinstance(its, dict) else {}, asked)

        def threads() -> int:
            return sum(client.nthreads().values())

        yield Workers(lambda: client.get_executor(pure=False), threads, (KilledWorker,), versions=asked)


@contextlib.contextmanager
def _deaf() -> Iterator[None]:
    """A process that is started inside does not hear Ctrl-C: whoever started it does, and ends it without a word."""
    if threading.current_thread() is not threading.main_thread():
        yield  # only the main thread may change what a signal does
        return
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)


def refuse_other(worker: str, its: Mapping[str, str], asked: Mapping[str, str]) -> None:
    """Raise SettingError where a worker has another version of something than whoever asks."""
    for name, version in asked.items():
        found = its.get(name) or "not at all"
        if found.split("+")[0] != version.split("+")[0]:  # to a CPU, a torch for CUDA such as 2.13.0+cu130 is the same
            wrong = f"the worker {worker} has {name} {found}, and {version} is asked for"
            raise SettingError(f"--scheduler: {wrong}; use the same on both sides, and restart both")


@cache
def versions() -> dict[str, str]:
    """What decides numbers in a process: the versions of torch and of this package, and a digest of its `source`.

    The digest is that of the time when it is first asked for: a worker that runs on while the code changes has the old.
    """
    source = hashlib.sha256()
    for path in sorted(Path(__file__).parents[1].rglob("*.py")):
        source.update(path.read_bytes())
    return {"bu_core": __version__, "torch": torch.__version__, "source": source.hexdigest()[:12]}
