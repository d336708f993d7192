"""Files of an experiment: each artefact is found by a digest of the settings that made it.

An artefact is one safetensors file, `<kind>-<digest>.safetensors`: tensors, and in the header its full key, the facts
kept with it (seconds, environment) and a checksum. Nothing in it can run code. It is written beside and renamed, so a
kill leaves no half file; two processes that want the same one share the work, since the second waits for the first.
"""

import contextlib
import hashlib
import json
import math
import os
import warnings
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from filelock import FileLock
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from .checks import SettingError


@dataclass(frozen=True)
class Artefact:
    """Tensors by name, and facts that JSON can hold."""

    tensors: dict[str, Tensor]
    facts: dict[str, Any]


class DamagedArtefactWarning(UserWarning):
    """A file in the store that is not what its name says; it is set aside and computed again."""


class Store:
    """A folder of artefacts. Raises SettingError, which names the `setting`, where the folder cannot be written.

    `beside` is another folder of artefacts, which is read and never written: what is there is not computed.
    """

    def __init__(self, folder: str | os.PathLike, setting: str, beside: Path | None = None):
        self.folder, self.beside = Path(folder), beside
        self.served: set[Path] = set()  # what was asked for, for those who keep a copy
        try:
            (self.folder / ".locks").mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise SettingError(f"{setting}: cannot be written ({error.strerror})") from error
        if not os.access(self.folder / ".locks", os.W_OK):
            raise SettingError(f"{setting}: cannot be written (permission denied)")

    def get(
        self, kind: str, key: Mapping[str, Any], make: Callable[[], tuple[Mapping[str, Tensor], Mapping[str, Any]]]
    ) -> Artefact:
        """The artefact of this kind and key; `make` computes its tensors and facts where it is not stored yet."""
        path = self.path(kind, key)
        self.served.add(path)
        for known in (path, *([self.beside / path.name] if self.beside else [])):
            with contextlib.suppress(ValueError):  # absent or damaged: looked at again once nobody else can
                return read(known, key)
        with FileLock(self.folder / ".locks" / f"{path.stem}.lock"):
            if (found := self._read(path, key)) is None:  # another process may have made it while this one waited
                tensors, facts = make()
                write(path, key, tensors, facts)
                found = read(path, key)
        return found

    def path(self, kind: str, key: Mapping[str, Any]) -> Path:
        """Where the artefact of this kind and key lies, or will lie."""
        return self.folder / f"{kind}-{digest(key)}.safetensors"

    def _read(self, path: Path, key: Mapping[str, Any]) -> Artefact | None:
        """The artefact at `path`, or None where there is none; a damaged or foreign file is named and set aside."""
        if not path.exists():
            return None
        try:
            return read(path, key)
        except ValueError as error:
            aside = path.with_suffix(".damaged")
            os.replace(path, aside)
            warnings.warn(
                f"{path}: {error}; set aside as {aside.name} and computed again", DamagedArtefactWarning, stacklevel=3
            )
            return None


def digest(key: Mapping[str, Any]) -> str:
    """16 hexadecimal digits that stand for a key; the order of its entries does not matter."""
    return hashlib.sha256(json.dumps(key, sort_keys=True).encode()).hexdigest()[:16]


def write(path: Path, key: Mapping[str, Any], tensors: Mapping[str, Tensor], facts: Mapping[str, Any]) -> None:
    """Write an artefact beside its place and rename it into it."""
    tensors = {name: tensor.detach().cpu().contiguous() for name, tensor in tensors.items()}
    header = {
        "key": json.dumps(key, sort_keys=True),
        "facts": json.dumps(facts, sort_keys=True),
        "checksum": _checksum(tensors, json.dumps(facts, sort_keys=True)),
    }
    beside = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        save_file(tensors, beside, metadata=header)
        os.replace(beside, path)
    finally:
        beside.unlink(missing_ok=True)


def read(path: Path, key: Mapping[str, Any]) -> Artefact:
    """Read the artefact at `path`; ValueError where it is damaged or was made by another key."""
    found, artefact = read_any(path)
    if found != json.loads(json.dumps(key)):
        raise ValueError("was not made by the settings that its name stands for")
    return artefact


def read_any(path: Path) -> tuple[dict[str, Any], Artefact]:
    """Read the artefact at `path`, and the key that made it; ValueError where it is damaged."""
    try:
        with safe_open(path, framework="pt") as file:
            header = file.metadata() or {}
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 (not a mapping)
    except (SafetensorError, OSError) as error:
        raise ValueError(f"is damaged ({error})") from error
    if header.get("checksum") != _checksum(tensors, header.get("facts", "")):
        raise ValueError("is damaged (its checksum differs)")
    return json.loads(header.get("key", "null")), Artefact(tensors, json.loads(header["facts"]))


def same(path: Path, other: Path) -> bool:
    """Whether both files hold the same artefact, and neither is damaged. Their bytes may differ: safetensors writes the
    header in any order."""
    headers = []
    for of in (path, other):
        try:
            read_any(of)
        except ValueError:
            return False
        with safe_open(of, framework="pt") as file:
            headers.append(file.metadata())
    return headers[0] == headers[1]  # which hold the key, the facts, and a checksum of the tensors


def write_json(path: Path, content: Any) -> None:
    """Write JSON beside its place and rename it into it; what is not a finite number becomes null."""
    path.parent.mkdir(parents=True, exist_ok=True)
    beside = path.with_name(f".{path.name}.{os.getpid()}")
    beside.write_text(json.dumps(_finite(content), indent=2, allow_nan=False) + "\n")
    os.replace(beside, path)


def _checksum(tensors: Mapping[str, Tensor], facts: str) -> str:
    total = hashlib.sha256(facts.encode())
    for name in sorted(tensors):
        tensor = tensors[name]
        total.update(f"{name}\0{tensor.dtype}\0{tuple(tensor.shape)}\0".encode())
        total.update(tensor.reshape(-1).view(torch.uint8).numpy())
    return total.hexdigest()


def _finite(content: Any) -> Any:
    """JSON has no NaN, which a diverged model may bring."""
    if isinstance(content, Mapping):
        return {name: _finite(value) for name, value in content.items()}
    if isinstance(content, (list, tuple)):
        return [_finite(value) for value in content]
    return None if isinstance(content, float) and not math.isfinite(content) else content
