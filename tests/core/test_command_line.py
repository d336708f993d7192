"""The command line: what cannot be used is answered in one line with status 1, before any work."""

import os
import shutil
import subprocess
from pathlib import Path
from types import SimpleNamespace

import pytest

from bu_core.__main__ import main

ROOT = Path(__file__).resolve().parents[2]


def answer(capsys: pytest.CaptureFixture[str], *arguments: str) -> str:
    """The single line that a command, which must fail, prints."""
    assert main(arguments) == 1
    out, error = capsys.readouterr()
    assert out == ""
    assert error.startswith("Error: ")
    assert len(error.splitlines()) == 1
    assert len(error) < 1000
    return error.removeprefix("Error: ").rstrip("\n")


@pytest.mark.parametrize(
    ("name", "value", "begins", "says"),
    [
        ("methods", "[retrain", "methods='[retrain'", "is not YAML (line 1: expected ',' or ']'"),
        ("seed", "*x", "seed='*x'", "is not YAML (line 1: found undefined alias 'x')"),
        ("seed", "2020-99-99", "seed='2020-99-99'", "is not YAML (month must be in 1..12)"),
        ("seed", "2020-09-09", "seed=datetime.date(", "must be a whole number"),
        ("seed", '!!int ""', "seed='!!int", "is not YAML"),
        ("seed", "!!timestamp now", "seed='!!timestamp", "is not YAML"),
        ("seed", "[" * 5000, "seed='[[[", "..."),
        ("seed", "9" * 5000, "seed='999", "is not YAML"),
        ("forget_class", "0x" + "f" * 5000, "forget_class=(a number too long to show)", "must be at most 2147483648"),
        ("seed", "0x" + "f" * 5000, "seed=(a number too long to show)", "at most 2147483648"),
        ("batch_size", "1e30", "batch_size='1e30'", "a whole number at least 1"),
        ("batch_size", "1.0e+30", "batch_size=1e+30", "a whole number at least 1"),
        ("batch_size", str(10**30), "batch_size=1000", "must be at most 2147483648"),
        ("unlearning", "{[1]: 2}", "unlearning='{[1]: 2}'", "a key that is a list or a mapping must be a text"),
        ("unlearning", "{1: {}}", "unlearning='{1: {}}'", "the key 1 must be a text"),
        ("unlearning", "{fisher: {}, fisher: {}}", "unlearning=", "the key fisher is given twice"),
        ("unlearning", "&a {fisher: *a}", "unlearning.fisher='fisher'", "allowed: "),
        ("methods", "&a [*a]", "methods=[[", "allowed: retrain"),
        ("methods", "{retrain: " * 20 + "1" + "}" * 20, "methods={'retrain': {", "a list of methods"),
        ("results_dir", "", "results_dir=None", "must be a text"),
        ("results_dir", "''", "results_dir=''", "must name a path"),
        ("results_dir", "a\0b", r"results_dir='a\x00b'", "is not YAML"),
        ("results_dir", r'"a\0b"', r"results_dir='a\x00b'", "without control characters"),
        ("results_dir", "a\udce9", r"results_dir='a\udce9'", "is not YAML"),
        ("data_dir", r'"a\ud800"', r"data_dir='a\ud800'", "must be a text in UTF-8"),
        ("data_dir", r'"a\nb"', r"data_dir='a\nb'", "line breaks"),
        ("data_dir", "x" * 5000, "data_dir='xxx", "no such folder"),
        ("data_dir", "~nobody-of-this-name/x", "data_dir='~nobody", "home"),
        ("two\nlines", "1", r"-p='two\nlines'", "line breaks"),
        ("x" * 5000, "1", "parameter='xxx", "allowed: dataset"),
    ],
)  # fmt: skip
def test_a_value_that_cannot_be_is_answered_in_one_line(
    capsys: pytest.CaptureFixture[str], name: str, value: str, begins: str, says: str
):
    message = answer(capsys, "run", "smoke", "-p", name, value)
    assert message.startswith(begins)
    assert says in message.removeprefix(begins)


@pytest.mark.parametrize(
    ("classes", "says"),
    [
        ("[", "--classes='[': is not YAML"),
        ("4]", "is not YAML"),
        ("", "must name a class; allowed: all, 0, 1"),
        ("4,,5", "is not YAML"),
        ("4,4", "--classes='4,4': 4 is named twice"),
        ("4,'4'", "4 is named twice"),
        ("0x4, 4", "4 is named twice"),
        ("4,11", "--classes=11: digits has classes 0 to 9"),
        ("'eleven'", "--classes='eleven': allowed: 0, 1"),
        ("{4: 5}", "the key 4 must be a text"),
        ("true", "--classes=True: must be a whole number or a text"),
        ("9" * 5000, "is not YAML"),
    ],
)
def test_classes_that_cannot_be_swept_are_answered_in_one_line(
    capsys: pytest.CaptureFixture[str], classes: str, says: str
):
    assert says in answer(capsys, "sweep", "smoke", "--classes", classes)


def test_classes_are_swept_by_name_and_by_index(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]):
    asked = []

    def sweep(profile, given, classes, seeds, say, jobs, scheduler):
        asked.append((classes, list(seeds)))
        return SimpleNamespace(summary={"original": {}}, runs=[], lost=[])

    monkeypatch.setattr("bu_core.experiment.sweep.sweep", sweep)
    cifar10 = ["sweep", "cifar10", "--seeds", "2", "--classes"]
    assert [main([*cifar10, classes]) for classes in ("deer, 3", "[]", "all")] == [0, 1, 0]
    assert asked == [([4, 3], [0, 1]), (list(range(10)), [0, 1])]
    assert "must be a whole number or a text" in capsys.readouterr().err


@pytest.mark.parametrize("seeds", ["0", "-1", "1.5", "10001", "9" * 5000, "x" * 5000])
def test_a_number_of_seeds_that_cannot_be_is_refused(capsys: pytest.CaptureFixture[str], seeds: str):
    with pytest.raises(SystemExit):
        main(["sweep", "smoke", "--seeds", seeds])
    assert "must be a whole number from 1 to 10000" in capsys.readouterr().err


# --- make ---------------------------------------------------------------------------------------------------------


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    """The Makefile beside an environment whose Python prints its arguments, one a line, and does nothing."""
    shutil.copy(ROOT / "Makefile", tmp_path)
    python = tmp_path / ".venv" / "bin" / "python"
    python.parent.mkdir(parents=True)
    python.write_text('#!/bin/sh\nprintf "%s\\n" "$@"\n')
    python.chmod(0o755)
    for name in ("pyproject.toml", "requirements.lock", ".venv/.installed"):
        (tmp_path / name).touch()
    return tmp_path


@pytest.mark.skipif(not shutil.which("make"), reason="no make here")
@pytest.mark.parametrize(("target", "command"), [("book", "build"), ("pdf", "pdf"), ("reference", "record")])
@pytest.mark.parametrize("from_environment", [False, True])
@pytest.mark.parametrize(
    ("profile", "arguments"),
    [
        ("", []),
        ("digits smoke", ["digits", "smoke"]),
        ("~/a.yml", ["~/a.yml"]),
        ("x; touch y", ["x;", "touch", "y"]),
        ("`touch y`", ["`touch", "y`"]),
        ("$(shell touch y)", ["$(shell", "touch", "y)"]),
        ("$$(touch y)", ["$$(touch", "y)"]),
        ("x' && touch y && '", ["x'", "&&", "touch", "y", "&&", "'"]),
        ("*", ["*"]),
    ],
)
def test_make_passes_profiles_on_and_runs_nothing_in_them(
    checkout: Path, target: str, command: str, from_environment: bool, profile: str, arguments: list[str]
):
    given = {name: value for name, value in os.environ.items() if not name.startswith(("MAKE", "MFLAGS", "PROFILE"))}
    given |= {"PROFILE": profile} if from_environment else {}  # and nothing of a make that runs the tests
    line = ["make", target] if from_environment else ["make", target, f"PROFILE={profile}"]
    before = sorted(checkout.iterdir())
    done = subprocess.run(line, cwd=checkout, env=given, capture_output=True, text=True, check=True, timeout=60)
    assert done.stdout.splitlines() == ["-m", "bu_book", command, *arguments]
    assert sorted(checkout.iterdir()) == before
