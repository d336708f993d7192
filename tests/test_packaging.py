"""What packs the project: equal pins in three files, the commands that others call, templates without outputs."""

import os
import re
import shutil
import subprocess
import sys
import tomllib
from importlib.metadata import distributions
from pathlib import Path

import pytest
import yaml
from packaging.specifiers import SpecifierSet
from packaging.utils import canonicalize_name

ROOT = Path(__file__).resolve().parents[1]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
LOCK = [line for line in (ROOT / "requirements.lock").read_text().splitlines() if not line.startswith("#")]


def by_name(pins: list[str]) -> dict[str, str]:
    """Pins `name==version` as a mapping; a name in its normal form, so that `PyYAML` and `pyyaml` are one."""
    pairs = (pin.split("==") for pin in pins)
    return {re.sub(r"[-_.]+", "-", name).lower(): version for name, version in pairs}


def test_conda_environment_has_the_pins_of_the_project():
    dependencies = yaml.safe_load((ROOT / "environment.yml").read_text())["dependencies"]
    *pins, itself = dependencies[-1]["pip"]
    assert sorted(pins) == sorted(PROJECT["dependencies"])
    assert itself == "-e ."
    assert "python=" + PROJECT["requires-python"].removeprefix(">=") in dependencies


def test_lock_has_every_pin_of_the_project():
    pins = by_name(PROJECT["dependencies"] + PROJECT["optional-dependencies"]["dev"])
    assert pins.items() <= by_name(LOCK).items()


def test_every_locked_package_runs_on_the_oldest_python():
    """Not on a later 3.11 alone: Debian 12 has 3.11.2, and pip refuses there what asks for more."""
    oldest = PROJECT["requires-python"].removeprefix(">=") + ".0"
    locked = {canonicalize_name(line.split("==")[0]) for line in LOCK}
    installed = [found for found in distributions() if canonicalize_name(found.metadata["Name"]) in locked]
    assert len(installed) > len(locked) / 2
    asked = {found.metadata["Name"]: found.metadata.get("Requires-Python") or "" for found in installed}
    assert [name for name, versions in asked.items() if oldest not in SpecifierSet(versions)] == []


def test_lock_fits_every_platform():
    assert not [line for line in LOCK if not re.fullmatch(r"[\w.-]+==[\w.]+", line)]


def test_ci_runs_make_test():
    script = ROOT / ".ci" / "run"
    assert os.access(script, os.X_OK)
    assert script.read_text().splitlines()[-1] == "make test"


@pytest.mark.parametrize("command", ["make book", "make test"])
def test_readme_names_the_command(command: str):
    assert f"`{command}`" in (ROOT / "README.md").read_text()


def made(target: str, folder: Path) -> subprocess.CompletedProcess[str]:
    """What `make TARGET` does in a folder."""
    command = ["make", "--no-print-directory", target]
    apart = {name: value for name, value in os.environ.items() if not name.startswith("MAKE")}  # `make test` sets some
    return subprocess.run(command, cwd=folder, env=apart, capture_output=True, text=True, check=False)


def test_help_lists_every_target():
    makefile = (ROOT / "Makefile").read_text()
    targets = re.search(r"^\.PHONY: (.*)$", makefile, re.MULTILINE).group(1).split()
    assert [line.split()[1] for line in made("help", ROOT).stdout.splitlines()] == targets


def test_a_second_make_leaves_the_environment_of_the_first_alone(tmp_path: Path):
    for name in ("Makefile", "pyproject.toml", "requirements.lock"):
        shutil.copy(ROOT / name, tmp_path)
    half_made = tmp_path / ".venv" / "half-made"
    half_made.mkdir(parents=True)
    (tmp_path / ".venv.making").mkdir()
    result = made("env", tmp_path)
    assert result.returncode != 0
    assert "another make is making .venv; wait until it is done (if none is, remove .venv.making)" in result.stdout
    assert half_made.exists() and (tmp_path / ".venv.making").exists()


def test_templates_have_no_outputs():
    templates = sorted((ROOT / "notebooks").rglob("*.ipynb"))
    assert templates
    strip = [str(Path(sys.executable).with_name("nbstripout")), "--verify", "--keep-id"]
    result = subprocess.run([*strip, *templates], capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stdout + result.stderr


def test_the_citation_is_valid_and_the_page_says_the_same():
    citation = yaml.safe_load((ROOT / "CITATION.cff").read_text())
    assert {"cff-version", "message", "title", "authors"} <= set(citation)  # what the schema 1.2.0 requires
    assert citation["cff-version"] == "1.2.0"
    assert citation["license"] == PROJECT["license"] == "MIT"
    assert citation["version"] == PROJECT["version"]
    assert (ROOT / "LICENSE").read_text().startswith("MIT License")
    (paper,) = citation["references"]
    assert {"type", "title", "authors"} <= set(paper)
    page = (ROOT / "book" / "citing.md").read_text()
    authors = " and ".join(f"{author['family-names']}, {author['given-names']}" for author in paper["authors"])
    pages = f"{paper['start']}--{paper['end']}"
    for told in (citation["title"], citation["version"], paper["title"], authors, pages, paper["collection-title"]):
        assert told in page
