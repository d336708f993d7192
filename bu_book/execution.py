"""Execute notebooks with papermill, and leave alone those that nothing has changed for.

papermill starts a kernel for each notebook. Here a kernel is forked from a process that has imported the libraries
already (`multiprocessing`'s fork server), which saves each notebook some seconds. A kernel ends with its parent.
"""

import ast
import hashlib
import json
import logging
import multiprocessing
import os
import re
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import cache, lru_cache
from importlib.metadata import version
from multiprocessing import forkserver
from pathlib import Path
from typing import Any

import nbformat

from . import BuildError

ROOT = Path(__file__).resolve().parent.parent
PACKAGES = ("bu_core", "bu_book")
CHAPTERS = ROOT / "bu_book" / "chapters"
AT_ONCE = 2  # notebooks
PRELOADED = ("ipykernel.kernelapp", "sklearn.linear_model", "torch", "bu_book.page", "bu_book.steps.drawings")
DRAWN_BY = ("torch", "numpy", "pandas", "scikit-learn", "matplotlib", "seaborn", "papermill")


@dataclass(frozen=True)
class Run:
    """A notebook to be executed.

    `template`, `target`: what is executed, and where the executed notebook goes. `given`: its parameters. `foot`: the
    Markdown at its end. `source`: a digest of all that it is made from. `machine`: what its numbers were made on, in
    words. `folded`: whether its code stays between the paragraphs, folded, or stands at the foot alone.
    """

    template: Path
    target: Path
    given: dict[str, Any]
    foot: str
    source: str
    machine: str
    folded: bool


def execute(runs: Sequence[Run], threads: int, say: Callable[[str], None]) -> None:
    """Execute the notebooks of `runs`, AT_ONCE at a time; `threads`: how many torch may use in each.

    Where torch may use more than one, one at a time: threads that share the cores with others wait for each other.
    """
    if not runs:
        return
    # papermill warns of each parameter that a template's own cell does not name; `Page.open` refuses the wrong ones.
    logging.getLogger("papermill").setLevel(logging.ERROR)
    kernels = _Kernels(threads)
    with ThreadPoolExecutor(AT_ONCE if threads == 1 else 1) as pool:
        try:
            for run, seconds in zip(runs, pool.map(lambda run: _executed(run, kernels.manager), runs), strict=True):
                say(f"{run.template.stem}: executed in {seconds:.1f} s")
        except BaseException:
            kernels.end()  # else those that run would be waited for
            raise


def _executed(run: Run, manager: type) -> float:
    """Execute one notebook; returns the seconds that it took."""
    import papermill  # not needed where nothing has changed

    start = time.perf_counter()
    beside = run.target.with_name(f".{run.target.name}")
    try:
        papermill.execute_notebook(
            run.template,
            beside,
            parameters=run.given,
            kernel_name="python3",
            progress_bar=False,
            kernel_manager_class=manager,
        )
    except papermill.PapermillExecutionError as error:
        where = f"{run.template.relative_to(ROOT)} failed in its cell {error.exec_count}"
        raise BuildError(f"{where}: {error.ename}: {error.evalue}\nwith its traceback: {beside}") from error
    notebook = nbformat.read(beside, as_version=4)
    for cell in notebook.cells:
        if cell.cell_type == "code":
            tags = cell.metadata.setdefault("tags", [])
            if "remove-input" not in tags:  # the foot of the page names every parameter
                tags.append("hide-input" if run.folded and "injected-parameters" not in tags else "remove-input")
    notebook.cells.append(nbformat.v4.new_markdown_cell(run.foot, id="again"))
    # papermill notes absolute paths, which tell a reader nothing and the world where the author keeps things
    for path in ("input_path", "output_path"):
        del notebook.metadata["papermill"][path]
    notebook.metadata["made_from"] = run.source
    notebook.metadata["made_on"] = run.machine
    notebook.metadata["cells_digest"] = _digest(notebook.cells)
    nbformat.write(notebook, beside)
    beside.replace(run.target)
    return time.perf_counter() - start


def is_current(run: Run) -> bool:
    """Whether the executed notebook is there, made from the same, and as it was written."""
    try:
        content = json.loads(run.target.read_text(encoding="utf-8"))
        metadata = content["metadata"]
        notebook = nbformat.from_dict(content)
        return metadata["made_from"] == run.source and metadata["cells_digest"] == _digest(_joined(notebook.cells))
    except (OSError, ValueError, KeyError, TypeError, AttributeError):  # absent, truncated or damaged
        return False


def _joined(cells: Iterable[Any]) -> Any:
    """Cells as nbformat holds them in memory: a text that a file has as a list of lines is one."""
    return nbformat.v4.rwbase.rejoin_lines(nbformat.from_dict({"cells": list(cells)})).cells


def _digest(content: Any) -> str:
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()


# --- kernels ------------------------------------------------------------------------------------------------------


class _Kernels:
    """Kernels forked from a process that has the libraries, for papermill by `manager`, a class of kernel managers.

    The libraries' own threads are switched off there, since two notebooks run at once, and draw. torch is given
    `threads`: a time is found in the store by the machine that it was measured on, threads included.
    """

    def __init__(self, threads: int):
        from jupyter_client import AsyncKernelManager
        from jupyter_client.provisioning import LocalProvisioner

        self._threads = threads
        self._context = multiprocessing.get_context("forkserver")
        self._started: list[_Kernel] = []
        self._lock, self._ended = threading.Lock(), False
        _start_server(self._context)
        start = self._start

        class Provisioner(LocalProvisioner):
            async def launch_kernel(self, cmd: list[str], **kwargs: Any) -> Any:
                kernel: Any = start(cmd[cmd.index("-f") + 1])  # it has what is asked of a Popen
                self.process, self.pid = kernel, kernel.pid
                return self.connection_info

        class Manager(AsyncKernelManager):
            async def _async_pre_start_kernel(self, **kwargs: Any) -> Any:
                if self.provisioner is None:
                    self.kernel_id = self.kernel_id or os.urandom(8).hex()
                    self.provisioner = Provisioner(kernel_id=self.kernel_id, kernel_spec=self.kernel_spec, parent=self)
                return await super()._async_pre_start_kernel(**kwargs)

            pre_start_kernel = _async_pre_start_kernel

        self.manager = Manager

    def _start(self, connection_file: str) -> "_Kernel":
        with self._lock:
            if self._ended:
                raise RuntimeError("no kernel is started any more")
            self._started.append(_Kernel(self._context, connection_file, self._threads))
            return self._started[-1]

    def end(self) -> None:
        """End every kernel, and start none again."""
        with self._lock:
            self._ended = True
            for kernel in self._started:
                kernel.kill()


def _start_server(context: Any) -> None:
    """Start the process that kernels are forked from, where it does not run yet."""
    wanted = {"OMP_NUM_THREADS": "1", "MPLBACKEND": "module://matplotlib_inline.backend_inline"}
    before = {name: os.environ.get(name) for name in wanted}
    context.set_forkserver_preload(list(PRELOADED))
    os.environ.update(wanted)  # a library reads them when it is imported
    try:
        forkserver.ensure_running()
    finally:
        for name, value in before.items():
            if value is None:
                del os.environ[name]
            else:
                os.environ[name] = value


class _Kernel:
    """A forked kernel, with what jupyter_client asks of a process."""

    stdin = stdout = stderr = None

    def __init__(self, context: Any, connection_file: str, threads: int):
        self._process = context.Process(target=_serve, args=(connection_file, threads), daemon=True)
        self._process.start()
        self.pid = self._process.pid

    def poll(self) -> int | None:
        """The exit status; None while it runs."""
        return self._process.exitcode

    def wait(self) -> int | None:
        """The exit status, once it has ended."""
        self._process.join()
        return self._process.exitcode

    def send_signal(self, number: int) -> None:
        if self._process.is_alive():
            os.kill(self._process.pid, number)

    def terminate(self) -> None:
        self.send_signal(signal.SIGTERM)

    def kill(self) -> None:
        self.send_signal(signal.SIGKILL)


def _serve(connection_file: str, threads: int) -> None:
    """What a forked process does: be a kernel, until it is told to end or its parent is gone."""
    end_with_parent()
    import torch
    from ipykernel.kernelapp import IPKernelApp

    torch.set_num_threads(threads)
    sys.argv = ["ipykernel"]
    IPKernelApp.launch_instance(argv=["-f", connection_file, f"--IPKernelApp.parent_handle={os.getppid()}"])


def end_with_parent() -> None:
    """End this process as soon as the one that asked for it has ended, and let Ctrl-C be that one's affair.

    The fork server would not do it: it runs for as long as a process that it forked.
    """
    os.setsid()

    def watch() -> None:
        parent = multiprocessing.parent_process()
        assert parent is not None
        parent.join()
        os._exit(1)

    threading.Thread(target=watch, daemon=True).start()


def in_child(function: Callable[..., None], *arguments: Any, log: Path) -> int:
    """Call a function in a process that ends with this one, what it writes going to `log`; returns its exit status."""
    context = multiprocessing.get_context("forkserver")
    _start_server(context)
    process = context.Process(target=_logged, args=(function, arguments, log), daemon=True)
    process.start()
    try:
        process.join()
    finally:
        process.kill()
    return process.exitcode or 0


def _logged(function: Callable[..., None], arguments: Sequence[Any], log: Path) -> None:
    end_with_parent()
    with log.open("w", encoding="utf-8") as file:
        os.dup2(file.fileno(), 1)
        os.dup2(file.fileno(), 2)
        function(*arguments)


# --- what a page is made from -------------------------------------------------------------------------------------


def made_from(template: Path, rest: Any) -> str:
    """A digest of a template, of the code that it uses, of the libraries' versions, and of the `rest`, as JSON."""
    total = hashlib.sha256(template.read_bytes())
    for path in sorted(modules(template)):
        total.update(f"{path.relative_to(ROOT)}\0{_file_digest(path)}\0".encode())
    total.update(json.dumps([rest, sys.version, *map(_version, DRAWN_BY)], sort_keys=True).encode())
    return total.hexdigest()


@lru_cache
def _version(package: str) -> str:
    return version(package)


def _file_digest(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def modules(template: Path) -> set[Path]:
    """The files of our two packages that a notebook's code imports, directly or through others.

    A verdict calls the chapter that registers its claim, which no import shows: where a page names the numbers of its
    claims, those chapters are among the modules, and where it does not, all are.
    """
    code = "\n".join(template_code(template))
    tree = ast.parse(re.sub(r"^\s*[%!].*$", "", code, flags=re.MULTILINE))
    wanted, seen = [*_imported(tree, ROOT), *_judging(tree)], set()
    while wanted:
        path = wanted.pop()
        if path not in seen:
            seen.add(path)
            wanted += _needed_by(path, path.stat().st_mtime_ns)
    return seen


def template_code(template: Path) -> list[str]:
    """The sources of a notebook's code cells."""
    cells = json.loads(template.read_text(encoding="utf-8"))["cells"]
    return ["".join(cell["source"]) for cell in cells if cell["cell_type"] == "code"]


@cache
def _needed_by(path: Path, modified: int) -> list[Path]:
    """The files that a module imports; `modified` is there for the cache to see."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    found = list(_imported(tree, path.parent))
    if path.name not in ("claims.py", "page.py"):  # which offer to judge, and judge what a page asks for
        found += _judging(tree)
    return found


def _imported(tree: ast.AST, folder: Path) -> Iterator[Path]:
    """The files of our packages that the import statements of a module in `folder` name."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            for alias in node.names:
                yield from _files(ROOT, alias.name.split("."))
        elif isinstance(node, ast.ImportFrom):
            start = folder.joinpath(*[".."] * (node.level - 1)).resolve() if node.level else ROOT
            names = node.module.split(".") if node.module else []
            for alias in node.names:
                yield from _files(start, [*names, alias.name])


def _files(start: Path, names: Sequence[str]) -> Iterator[Path]:
    """Those of `start/__init__.py`, `start/a.py`, `start/a/__init__.py` ... that are there, for names a, b ..."""
    if start == ROOT and names[0] not in PACKAGES:
        return
    for place in range(len(names) + 1):
        path = start.joinpath(*names[:place])
        for file in (path / "__init__.py", path.with_suffix(".py")):
            if file.is_file():
                yield file


def _judging(tree: ast.AST) -> Iterator[Path]:
    """The chapters whose claims are judged where `verdicts` or `judged` is called."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Call) and _name(node.func) in ("verdicts", "judged"):
            numbers = [each.value for each in node.args if isinstance(each, ast.Constant)]
            for path in sorted(CHAPTERS.glob("*.py")):
                if len(numbers) < len(node.args) or set(numbers) & _claims(path, path.stat().st_mtime_ns):
                    yield path


@cache
def _claims(path: Path, modified: int) -> frozenset[int]:
    """The numbers of the claims that a chapter registers; `modified` is there for the cache to see."""
    found = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Call) and _name(node.func) == "claim" and isinstance(node.args[0], ast.Constant):
            number = node.args[0].value
            assert isinstance(number, int)
            found.add(number)
    return frozenset(found)


def _name(function: ast.expr) -> str:
    return function.attr if isinstance(function, ast.Attribute) else getattr(function, "id", "")
