"""What is to be forgotten: one class, several classes, a random share of the images, or images by their numbers.

A request is a mapping, as a profile writes it under `forget`; `checked_request` says which there are, `chosen` which
images it means, `described` how tables and messages call it.
"""

import hashlib
from collections.abc import Mapping, Sequence
from typing import Annotated, Any

import torch
from torch import Tensor

from ..checks import LARGEST, Range, SettingError, checked, file_of, listed, one_of, shown

Request = Mapping[str, Any]

FORMS = {"classes": ("classes",), "share": ("share", "of", "seed"), "samples": ("samples",)}  # and what each may hold
WRITTEN = "{classes: [...]}, {share: 0.1, of: all, seed: 0} or {samples: FILE}"
ALL = "all"
LARGEST_LIST = 10_000_000  # bytes of a file of sample numbers


def class_index(value: int | str, classes: Sequence[str], dataset: str, setting: str = "forget_class") -> int:
    """The index of a class given by index or by name; `setting` is how messages call it."""
    if isinstance(value, str):
        try:
            return classes.index(one_of(setting, value, classes))
        except SettingError as error:
            raise SettingError(f"{error} (the classes of {dataset})") from None
    if not 0 <= value < len(classes):
        raise SettingError(f"{setting}={value}: {dataset} has classes 0 to {len(classes) - 1} ({listed(classes)})")
    return value


def checked_request(given: Any, classes: Sequence[str] | None, dataset: str) -> dict[str, Any]:
    """A request with all of its settings, its classes as indices where the `classes` of `dataset` are known.

    `{classes}`: several classes, by index or name. `{share, of, seed}`: that share of the training images of a class,
    or of `all`, drawn by `seed`. `{samples}`: a text file with numbers of training images, from 0, one a line. An empty
    mapping is none of these. Raises SettingError for any other, and where nothing would remain.
    """
    if not isinstance(given, Mapping):
        raise SettingError(f"forget={shown(given)}: must be a mapping; allowed: {WRITTEN}")
    if not given:
        return {}
    kind = next((kind for kind in FORMS if kind in given), None)
    if kind is None:
        raise SettingError(f"forget={shown(dict(given))}: allowed: {WRITTEN}")
    for name in given:
        one_of("forget", name, FORMS[kind])

    def index(setting: str, value: Any) -> int | str:
        value = checked(setting, value, int | str)
        return value if classes is None else class_index(value, classes, dataset, setting)

    if kind == "samples":
        return {"samples": str(file_of("forget.samples", checked("forget.samples", given["samples"], str)))}
    if kind == "share":
        of = given.get("of", ALL)
        return {
            "share": checked("forget.share", given["share"], Annotated[float, Range(0, 1, open=True)]),
            "of": of if of == ALL else index("forget.of", of),
            "seed": checked("forget.seed", given.get("seed", 0), Annotated[int, Range(0, LARGEST)]),
        }
    if not isinstance(given["classes"], (list, tuple)) or not given["classes"]:
        raise SettingError(f"forget.classes={shown(given['classes'])}: must be a list of classes")
    found = [index("forget.classes", each) for each in given["classes"]]
    if repeated := sorted({str(each) for each in found if found.count(each) > 1}):
        raise SettingError(f"forget.classes={shown(list(given['classes']))}: {', '.join(repeated)} is named twice")
    if classes is not None and len(found) == len(classes):
        raise SettingError(f"forget.classes={shown(list(given['classes']))}: no class of {dataset} would remain")
    return {"classes": tuple(found)}


def chosen(request: Request, labels: Tensor) -> Tensor:
    """Which training images a request of single images means, bool, (N,), by the `labels` of all, (N,).

    Raises SettingError where these are none or all of them, and for a number that no image has.
    """
    count, mask = len(labels), torch.zeros(len(labels), dtype=torch.bool)
    if "samples" in request:
        mask[_numbers(request["samples"], count)] = True
        setting = f"forget.samples={shown(request['samples'])}"
    else:
        there = torch.arange(count) if request["of"] == ALL else (labels.cpu() == request["of"]).nonzero().flatten()
        order = torch.randperm(len(there), generator=torch.Generator().manual_seed(request["seed"]))
        mask[there[order[: round(request["share"] * len(there))]]] = True
        setting = f"forget.share={request['share']:g}"
    if not mask.any() or mask.all():
        raise SettingError(f"{setting}: is {int(mask.sum())} of {count:,} training images; some, and not all, must be")
    return mask


def _numbers(file: str, count: int) -> list[int]:
    """The numbers in a file, one a line, each from 0 to `count` - 1 and none twice."""
    setting, path = f"forget.samples={shown(file)}", file_of("forget.samples", file)
    try:
        if path.stat().st_size > LARGEST_LIST:
            raise SettingError(f"{setting}: has {path.stat().st_size:,} bytes; at most {LARGEST_LIST:,} are read")
        lines = path.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise SettingError(f"{setting}: cannot be read ({shown(error)})") from error
    found: dict[int, int] = {}
    for place, text in enumerate((line.strip() for line in lines), 1):
        if not text:
            continue
        if not (text.isascii() and text.isdecimal()) or len(text) > 12 or int(text) >= count:
            raise SettingError(f"{setting}: line {place} is {shown(text)}; must be a number from 0 to {count - 1}")
        if int(text) in found:
            raise SettingError(f"{setting}: line {place} repeats line {found[int(text)]} ({text})")
        found[int(text)] = place
    return list(found)


def request_key(request: Request) -> dict[str, Any]:
    """A request as a key holds it: of a file what it holds, wherever it lies."""
    if "samples" not in request:
        return {name: list(value) if name == "classes" else value for name, value in request.items()}
    numbers = sorted(_numbers(request["samples"], LARGEST))
    return {"samples": hashlib.sha256(" ".join(map(str, numbers)).encode()).hexdigest()}


def asked_for(forget: Request, forget_class: int) -> Request:
    """What a run forgets, as a request: its `forget`, and where that is empty the one class."""
    return forget or {"classes": (forget_class,)}


def described(request: Request, classes: Sequence[str]) -> str:
    """A request in words: `deer and horse`, `10 % of all images`, `1 % of deer`, `the images in FILE`."""
    if "samples" in request:
        return f"the images in {request['samples']}"
    if "share" in request:
        of = "all images" if request["of"] == ALL else classes[request["of"]]
        return f"{100 * request['share']:g} % of {of}"
    *others, last = (classes[number] for number in request["classes"])
    return f"{', '.join(others)} and {last}" if others else last
