"""What the tests of `audit` and of `unlearn` share."""

from pathlib import Path

import pytest
from filelock import FileLock

from tests.conftest import shared_folder
from tests.core.commands.page import SCRIPT


@pytest.fixture(scope="session")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder in which the script of the page ran, once for all processes of a test run."""
    folder = shared_folder(tmp_path_factory, "trained")
    with FileLock(folder / ".lock"), pytest.MonkeyPatch.context() as patch:
        if not (folder / "done").exists():
            patch.chdir(folder)
            exec(compile(SCRIPT, "forget.py", "exec"), {})
            (folder / "done").touch()
    return folder
