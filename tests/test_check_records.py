"""The check of continuous integration: a record's numbers do not change under the name that they had."""

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from bu_core.results import Artefact
from bu_core.store import write

SCRIPT = Path(__file__).resolve().parents[1] / ".github" / "check_records.py"
STORE = Path("book/results/run/store")


@pytest.fixture
def repository(tmp_path: Path) -> Callable[..., str]:
    """A repository whose `main` holds a record, and a branch on it; git's own command line."""

    def git(*command: str) -> str:
        who = ("-c", "user.name=a", "-c", "user.email=a@example.org", "-c", "commit.gpgsign=false")
        return subprocess.run(["git", *who, *command], cwd=tmp_path, check=True, capture_output=True, text=True).stdout

    git("init", "-q", "-b", "main")
    (tmp_path / STORE).mkdir(parents=True)
    put(tmp_path, "attack-1", 1.0)
    put(tmp_path, "attack-2", 2.0)
    git("add", "."), git("commit", "-qm", "record"), git("checkout", "-qb", "branch")
    return git


def put(root: Path, name: str, value: float, key: str = "key") -> None:
    write(root / STORE / f"{name}.safetensors", {"key": key}, Artefact({"x": torch.tensor([value])}, {"seconds": 1}))


def checked(root: Path) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, SCRIPT, "main"]
    return subprocess.run(command, cwd=root, capture_output=True, text=True, check=False)


def test_numbers_that_changed_under_their_name_are_refused(tmp_path: Path, repository: Callable[..., str]):
    put(tmp_path, "attack-2", 2.5)
    repository("commit", "-qam", "change")
    done = checked(tmp_path)
    assert done.returncode == 1
    assert done.stdout.splitlines() == [
        f"{STORE}/attack-2.safetensors: its numbers changed, and its name did not; raise the version of what makes it"
    ]


def test_what_was_added_removed_or_written_in_another_layout_is_fine(tmp_path: Path, repository: Callable[..., str]):
    put(tmp_path, "attack-3", 3.0)
    put(tmp_path, "attack-1", 1.0, key="the same numbers under a key in another layout")
    (tmp_path / STORE / "attack-2.safetensors").unlink()
    repository("add", "."), repository("commit", "-qam", "renew")
    done = checked(tmp_path)
    assert (done.returncode, done.stdout) == (0, ""), done.stderr


def test_what_main_changed_since_is_not_held_against_a_branch(tmp_path: Path, repository: Callable[..., str]):
    repository("checkout", "-q", "main")
    put(tmp_path, "attack-1", 9.0)
    repository("commit", "-qam", "on main"), repository("checkout", "-q", "branch")
    assert checked(tmp_path).returncode == 0
