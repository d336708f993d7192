"""The store: nothing half written, nothing damaged or foreign taken for good, nothing computed twice, no pickle."""

import ast
import contextlib
import json
import multiprocessing
import os
import sys
import time
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file

import bu_core
from bu_core import store as store_module
from bu_core.results import Artefact
from bu_core.store import DamagedArtefactWarning, Store, digest, write, write_json
from tests.helpers import refusal

KEY = {"method": "shrink", "settings": {"lr": 1e-5, "epochs": 10}, "seed": 0}
OTHER = {"method": "shrink", "settings": {"lr": 1e-5, "epochs": 10}, "seed": 1}


class Work:
    """Something to compute that counts how often it was."""

    def __init__(self, value: float = 1.0):
        self.value = value
        self.times = 0

    def __call__(self) -> Artefact:
        self.times += 1
        tensors = {
            "weight": torch.full((3, 4), self.value),
            "image": torch.arange(24, dtype=torch.uint8).reshape(1, 2, 3, 4).permute(0, 3, 1, 2),
            "count": torch.tensor(7),
            "empty": torch.empty(0, 5),
        }
        return Artefact(tensors, {"seconds": [0.25], "on": "cpu"}, {"weight": "float16"})


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(tmp_path / "store", "results_dir")


def test_what_is_kept_comes_back_exactly(store: Store):
    work = Work()
    first, second = store.get("model", KEY, work), store.get("model", KEY, work)
    assert work.times == 1
    expected = work()
    for found in (first, second):
        assert (found.facts, found.recorded) == (expected.facts, expected.recorded)
        assert found.tensors.keys() == expected.tensors.keys()
        for name, tensor in expected.tensors.items():
            assert found.tensors[name].dtype == tensor.dtype
            assert torch.equal(found.tensors[name], tensor)


def test_another_store_on_the_same_folder_finds_it(store: Store):
    store.get("model", KEY, Work())
    again = Work()
    Store(store.folder, "results_dir").get("model", KEY, again)
    assert again.times == 0


def test_another_key_or_kind_is_another_artefact(store: Store):
    works = [Work(value) for value in (1, 2, 3)]
    found = [
        store.get(kind, key, work).tensors["weight"][0, 0].item()
        for (kind, key), work in zip([("model", KEY), ("model", OTHER), ("outputs", KEY)], works, strict=True)
    ]
    assert found == [1, 2, 3]


def test_the_digest_depends_on_content_and_not_on_order():
    assert digest(KEY) == digest(dict(reversed(KEY.items())))
    assert digest(KEY) != digest(OTHER)
    assert digest({"lr": 1.0}) != digest({"lr": 1.5})
    assert len(digest(KEY)) == 16
    assert int(digest(KEY), 16) >= 0


def test_tensors_that_share_their_memory_are_kept_apart(store: Store):
    """As two fields of a result may, or two views of one tensor."""
    whole = torch.arange(6.0)
    shared = {"one": whole, "other": whole, "half": whole[:3], "rest": whole[3:]}
    found = store.get("model", KEY, lambda: Artefact(shared, {})).tensors
    assert {name: tensor.tolist() for name, tensor in found.items()} == {
        "one": [0, 1, 2, 3, 4, 5], "other": [0, 1, 2, 3, 4, 5], "half": [0, 1, 2], "rest": [3, 4, 5],
    }  # fmt: skip


# --- damaged and foreign files ------------------------------------------------------------------------------------


def truncated(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-7])


def header_alone(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:100])


def emptied(path: Path) -> None:
    path.write_bytes(b"")


def flipped(path: Path, place: int) -> None:
    content = bytearray(path.read_bytes())
    content[place] ^= 0x10
    path.write_bytes(content)


def a_flipped_byte_at_the_start(path: Path) -> None:
    flipped(path, 0)


def a_flipped_byte_in_the_key(path: Path) -> None:
    flipped(path, path.read_bytes().index(b"shrink"))


def a_flipped_byte_in_a_tensor(path: Path) -> None:
    flipped(path, -1)


def a_text(path: Path) -> None:
    path.write_text("not an artefact\n")


def of_another_key(path: Path) -> None:
    other = Store(path.parent, "results_dir")
    other.get("model", OTHER, Work(2.0))
    path.write_bytes(other.path("model", OTHER).read_bytes())


def of_another_program(path: Path) -> None:
    save_file({"weight": torch.zeros(3, 4)}, path)


@pytest.mark.parametrize(
    "damage",
    [
        truncated,
        header_alone,
        emptied,
        a_flipped_byte_at_the_start,
        a_flipped_byte_in_the_key,
        a_flipped_byte_in_a_tensor,
        a_text,
        of_another_key,
        of_another_program,
    ],
)
def test_a_file_that_is_not_what_it_should_be_is_named_and_made_again(store: Store, damage):
    store.get("model", KEY, Work(1.0))
    store.get("original", KEY, Work(5.0))
    path, beside = store.path("model", KEY), store.path("original", KEY)
    damage(path)
    found_there, kept = path.read_bytes(), beside.stat()
    again, untouched = Work(1.0), Work()
    with pytest.warns(DamagedArtefactWarning) as warned:
        found = store.get("model", KEY, again)
    (message,) = (str(warning.message) for warning in warned)
    assert str(path) in message
    assert len(message.splitlines()) == 1
    assert again.times == 1
    assert torch.equal(found.tensors["weight"], torch.full((3, 4), 1.0))
    assert path.with_suffix(".damaged").read_bytes() == found_there, "the file is set aside, not lost"
    # the others are as they were, and what was made again is good
    assert store.get("original", KEY, untouched).tensors["weight"][0, 0] == 5
    assert (beside.stat().st_mtime_ns, beside.stat().st_ino) == (kept.st_mtime_ns, kept.st_ino)
    store.get("model", KEY, untouched)
    assert untouched.times == 0


# --- kills, and two processes at once -----------------------------------------------------------------------------

# A forked process has torch already; macOS does not let one go on that was forked while threads ran.
PROCESSES = multiprocessing.get_context("fork" if sys.platform == "linux" else "spawn")


def _die_while_writing(folder: Path) -> None:
    def half(tensors: Any, path: Path, metadata: Any) -> None:
        save_file(tensors, path, metadata=metadata)
        path.write_bytes(path.read_bytes()[:50])
        os._exit(9)

    store_module.save_file = half
    Store(folder, "results_dir").get("model", KEY, Work())


def _want(folder: Path, ready: Any, log: Path) -> None:
    for kind in ("model", "outputs"):

        def make(kind: str = kind) -> Artefact:
            with log.open("a") as file:
                file.write(f"{kind} computed\n")
            time.sleep(0.5)  # long enough that the other process comes to wait
            return Work(4.0)()

        ready.wait(60)
        found = Store(folder, "results_dir").get(kind, KEY, make)
        with log.open("a") as file:
            file.write(f"{kind} is {found.tensors['weight'].sum().item():g}\n")


def test_a_kill_while_writing_leaves_nothing_under_the_real_name(store: Store):
    process = PROCESSES.Process(target=_die_while_writing, args=(store.folder,))
    process.start()
    process.join(60)
    assert process.exitcode == 9
    path = store.path("model", KEY)
    assert not path.exists()
    assert list(store.folder.glob(f".{path.name}.*")), "the kill came while the file was being written"
    work = Work()
    store.get("model", KEY, work)
    assert work.times == 1


def test_two_processes_that_want_the_same_compute_it_once(tmp_path: Path):
    """Both where there is nothing yet (model) and where both find a damaged file (outputs)."""
    folder, log = tmp_path / "store", tmp_path / "log"
    Store(folder, "results_dir").get("outputs", KEY, Work())
    truncated(Store(folder, "results_dir").path("outputs", KEY))
    ready = PROCESSES.Barrier(2)
    processes = [PROCESSES.Process(target=_want, args=(folder, ready, log)) for _ in range(2)]
    for process in processes:
        process.start()
    for process in processes:
        process.join(60)
    assert [process.exitcode for process in processes] == [0, 0]
    assert sorted(log.read_text().splitlines()) == [
        f"{kind} {word}" for kind in ("model", "outputs") for word in ("computed", "is 48", "is 48")
    ]


def test_a_failure_while_computing_leaves_nothing(store: Store):
    def fail() -> Any:
        raise KeyboardInterrupt

    with contextlib.suppress(KeyboardInterrupt):
        store.get("model", KEY, fail)
    assert [path for path in store.folder.iterdir() if path.is_file()] == []
    work = Work()
    store.get("model", KEY, work)
    assert work.times == 1


def test_a_failure_while_writing_leaves_nothing(store: Store, monkeypatch: pytest.MonkeyPatch):
    def fail(*_: Any, **__: Any) -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(store_module, "save_file", fail)
        message = refusal(store.get, "model", KEY, Work())
    assert message.startswith("results_dir: cannot be written (")
    assert "No space left" in message
    assert [path for path in store.folder.iterdir() if path.is_file()] == []


def test_what_is_no_number_is_null_in_json(tmp_path: Path):
    write_json(tmp_path / "metrics.json", {"a": [float("nan"), 1.5], "b": {"c": float("-inf")}})
    assert json.loads((tmp_path / "metrics.json").read_text()) == {"a": [None, 1.5], "b": {"c": None}}


def test_json_is_written_whole(tmp_path: Path):
    path = tmp_path / "deep" / "metrics.json"
    write_json(path, {"a": [1, 2.5, None]})
    with pytest.raises(TypeError):
        write_json(path, {"a": object()})
    assert json.loads(path.read_text()) == {"a": [1, 2.5, None]}
    assert [entry.name for entry in path.parent.iterdir()] == ["metrics.json"]


@pytest.mark.parametrize("below", ["", "store"], ids=["the folder itself", "a folder above"])
def test_a_folder_that_cannot_be_written_is_refused(tmp_path: Path, below: str):
    (tmp_path / "results").write_text("a file in the way")
    folder = tmp_path / "results" / below
    message = refusal(Store, folder, "results_dir='results'")
    assert message.startswith("results_dir='results': cannot be written (")


# --- a record beside it -------------------------------------------------------------------------------------------


@pytest.fixture
def beside(tmp_path: Path) -> Store:
    """A store that a record's folder lies beside, which holds KEY with weights in fewer bits, and OTHER as it was."""
    (tmp_path / "record").mkdir()
    store = Store(tmp_path / "store", "results_dir", tmp_path / "record")
    for key, recorded in ((KEY, {"weight": "float16"}), (OTHER, {})):
        found = Work(2.0)()
        write(tmp_path / "record" / store.path("model", key).name, key, Artefact(found.tensors, found.facts, recorded))
    return store


def test_what_a_record_holds_is_read_from_there_and_not_copied(beside: Store):
    work = Work()
    assert beside.get("model", KEY, work).tensors["weight"][0, 0] == 2
    assert work.times == 0
    assert not list(beside.folder.glob("*.safetensors"))
    assert beside.served == {beside.path("model", KEY)}


def test_what_was_computed_here_comes_before_the_record(beside: Store):
    Store(beside.folder, "results_dir").get("model", KEY, Work(5.0))
    assert beside.get("model", KEY, Work()).tensors["weight"][0, 0] == 5


def test_inside_exact_nothing_that_a_record_narrowed_is_served(beside: Store):
    exact, same = Work(3.0), Work()
    with beside.exact():
        with beside.exact():
            pass
        assert beside.get("model", OTHER, same).tensors["weight"][0, 0] == 2, "this one has all its bits"
        assert beside.get("model", KEY, exact).tensors["weight"][0, 0] == 3
    assert (exact.times, same.times) == (1, 0)
    beside.path("model", KEY).unlink()
    assert beside.get("model", KEY, exact).tensors["weight"][0, 0] == 2, "and outside it is served again"


def test_a_damaged_file_of_a_record_is_computed_and_left_where_it_is(beside: Store):
    assert beside.beside is not None
    path = beside.beside / beside.path("model", KEY).name
    truncated(path)
    damaged = path.read_bytes()
    work = Work(4.0)
    assert beside.get("model", KEY, work).tensors["weight"][0, 0] == 4
    assert path.read_bytes() == damaged


def test_what_is_refused_is_not_computed(tmp_path: Path):
    class Refused(Exception):
        pass

    store, work = Store(tmp_path / "store", "results_dir", refuse=Refused), Work()
    with pytest.raises(Refused, match=store.path("model", KEY).name):
        store.get("model", KEY, work)
    assert work.times == 0


# --- nothing loads a pickle ---------------------------------------------------------------------------------------


def test_no_module_can_load_a_pickle():
    """No import of a module that unpickles, no `torch.load` but with weights_only=True, no numpy pickles."""
    faults = []
    for path in sorted(Path(bu_core.__file__).parent.rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text())):
            imported = []
            if isinstance(node, ast.Import):
                imported = [alias.name for alias in node.names]
            elif isinstance(node, ast.ImportFrom) and not node.level:
                imported = [node.module]
                imported += [alias.name for alias in node.names if node.module == "torch" and alias.name == "load"]
            faults += [
                f"{path.name}:{node.lineno} imports {name}"
                for name in imported
                if name.split(".")[0] in {"pickle", "cPickle", "dill", "cloudpickle", "shelve", "marshal", "load"}
            ]
            if isinstance(node, ast.Call):
                named = {word.arg: ast.unparse(word.value) for word in node.keywords}
                loads = ast.unparse(node.func) == "torch.load" and named.get("weights_only") != "True"
                if loads or named.get("allow_pickle", "False") != "False":
                    faults.append(f"{path.name}:{node.lineno} {ast.unparse(node)}")
    assert faults == []
