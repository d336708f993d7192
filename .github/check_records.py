"""Refuse numbers of a record that changed without a version: python .github/check_records.py BASE

The name of an artefact is a digest of all that decides it, the version of its measurement included. So a file that has
the name of one in BASE (a commit) and other numbers or facts was changed without a version. What was added, or went, is
fine. Needs git and Python alone.
"""

import json
import subprocess
import sys

WHERE = "book/results/*/store/*.safetensors"


def git(*command: str) -> bytes:
    return subprocess.run(["git", *command], check=True, stdout=subprocess.PIPE).stdout


def header(file: bytes) -> dict[str, str]:
    """What stands at the head of a safetensors file: its length in 8 bytes, then JSON."""
    return json.loads(file[8 : 8 + int.from_bytes(file[:8], "little")])["__metadata__"]


def changed(base: str) -> list[str]:
    """The artefacts that HEAD and BASE both have, and of which the checksum, over numbers and facts, differs."""
    fork = git("merge-base", base, "HEAD").decode().strip()
    names = git("diff", "--name-only", "--no-renames", "--diff-filter=M", "-z", fork, "HEAD", "--", f":(glob){WHERE}")
    found = []
    for name in names.decode().split("\0")[:-1]:
        before, now = (header(git("show", f"{commit}:{name}")) for commit in (fork, "HEAD"))
        if before.get("checksum") != now.get("checksum"):
            found.append(name)
    return found


def main() -> int:
    found = changed(sys.argv[1])
    for name in found:
        print(f"{name}: its numbers changed, and its name did not; raise the version of what makes it")
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
