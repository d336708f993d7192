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
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import torch
from filelock import FileLock
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from .checks import SettingError, make_writable
from .results import Artefact


class DamagedArtefactWarning(UserWarning):
    """A file in the store that is not what its name says; it is set aside and computed again."""


class Store:
    """A folder of artefacts. Raises SettingError, which names the `setting`, where the folder cannot be written.

    `beside` is another folder of artefacts, a record's, which is read and never written. With `refuse`, what is in
    neither is not computed: the exception that `refuse(file name)` gives is raised.
    """

    def __init__(
        self,
        folder: str | os.PathLike,
        setting: str,
        beside: Path | None = None,
        refuse: Callable[[str], Exception] | None = None,
    ):
        self.folder, self.setting, self.beside, self.refuse = Path(folder), setting, beside, refuse
        self.served: set[Path] = set()  # what was asked for, for those who keep a copy
        self.exactly = 0  # how many `with exact()` hold
        make_writable(self.folder / ".locks", setting)

    def get(self, kind: str, key: Mapping[str, Any], make: Callable[[], Artefact]) -> Artefact:
        """The artefact of this kind and key; `make` computes it where it is not stored yet."""
        path = self.path(kind, key)
        self.served.add(path)
        with contextlib.suppress(ValueError):  # absent or damaged: looked at again once nobody else can
            return read(path, key)
        if self.beside:
            with contextlib.suppress(ValueError):
                found = read(self.beside / path.name, key)
                if not (self.exactly and found.recorded):
                    return found
        if self.refuse:
            raise self.refuse(path.name)
        with FileLock(self.folder / ".locks" / f"{path.stem}.lock"):
            try:
                return read(path, key)  # another process may have made it while this one waited
            except ValueError as error:
                if path.exists():
                    aside = path.with_suffix(".damaged")
                    os.replace(path, aside)
                    message = f"{path}: {error}; set aside as {aside.name} and computed again"
                    warnings.warn(message, DamagedArtefactWarning, stacklevel=2)
            made = make()
            try:
                write(path, key, made)
            except (OSError, SafetensorError) as error:
                raise SettingError(f"{self.setting}: cannot be written ({error})") from error
            return read(path, key)

    @contextlib.contextmanager
    def exact(self) -> Iterator[None]:
        """Inside, what `beside` keeps in fewer bits than it had is not served: nothing new is computed from it."""
        self.exactly += 1
        try:
            yield
        finally:
            self.exactly -= 1

    def path(self, kind: str, key: Mapping[str, Any]) -> Path:
        """Where the artefact of this kind and key lies, or will lie."""
        return self.folder / f"{kind}-{digest(key)}.safetensors"


def digest(key: Mapping[str, Any]) -> str:
    """16 hexadecimal digits that stand for a key; the order of its entries does not matter."""
    return hashlib.sha256(json.dumps(key, sort_keys=True).encode()).hexdigest()[:16]


def write(path: Path, key: Mapping[str, Any], artefact: Artefact) -> None:
    """Write an artefact beside its place and rename it into it."""
    tensors = _apart({name: tensor.detach().cpu().contiguous() for name, tensor in artefact.tensors.items()})
    facts = json.dumps(artefact.facts, sort_keys=True)
    header = {"key": json.dumps(key, sort_keys=True), "facts": facts, "checksum": _checksum(tensors, facts)}
    if artefact.recorded:
        header["recorded"] = json.dumps(artefact.recorded, sort_keys=True)
    with _beside(path) as beside:
        save_file(tensors, beside, metadata=header)


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
    recorded = json.loads(header.get("recorded", "{}"))
    return json.loads(header.get("key", "null")), Artefact(tensors, json.loads(header["facts"]), recorded)


def write_json(path: Path, content: Any) -> None:
    """Write JSON beside its place and rename it into it; what is not a finite number becomes null."""
    write_bytes(path, (json.dumps(_finite(content), indent=2, allow_nan=False) + "\n").encode())


def write_bytes(path: Path, content: bytes) -> None:
    """Write a file beside its place and rename it into it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with _beside(path) as beside:
        beside.write_bytes(content)


@contextlib.contextmanager
def _beside(path: Path) -> Iterator[Path]:
    """Where to write what is renamed to `path` in the end; it is gone where that fails."""
    beside = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        yield beside
        os.replace(beside, path)
    finally:
        beside.unlink(missing_ok=True)


def _apart(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The tensors, each in memory of its own, as safetensors asks for; a result may hold one under two names."""
    seen: set[int] = set()
    found = {}
    for name, tensor in tensors.items():
        memory = tensor.untyped_storage().data_ptr()
        found[name] = tensor.clone() if memory in seen else tensor
        seen.add(memory)
    return found


def _checksum(tensors: Mapping[str, Tensor], facts: str) -> str:
    total = hashlib.sha256(facts.encode())
    for name in sorted(tensors):
        tensor = tensors[name]
        total.update(f"{name}\0{tensor.dtype}\0{tuple(tensor.shape)}\0".encode())
        total.update(tensor.reshape(-1).view(torch.uint8).numpy().data)
    return total.hexdigest()


def _finite(content: Any) -> Any:
    """JSON has no NaN, which a diverged model may bring."""
    if isinstance(content, Mapping):
        return {name: _finite(value) for name, value in content.items()}
    if isinstance(content, (list, tuple)):
        return [_finite(value) for value in content]
    return None if isinstance(content, float) and not math.isfinite(content) else content
