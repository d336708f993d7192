"""Planted rows of the chapters on lasting and on the deep setting."""

from bu_book.chapters import lasting
from bu_book.chapters.lasting import NO_IMAGE, RECOMMENDED, Lasting, Left, Row
from bu_book.gaps import Gaps
from bu_core.data import SPLITS

SEEDS = ["seed 0", "seed 1"]


def left(after: float, shots: float, before: float = 0.0, remain: float = 81.0, steps: float | None = 50) -> Left:
    accuracy = dict.fromkeys(SPLITS, remain)
    return Left(
        accuracy | {"forget_train": before, "forget_test": before},
        accuracy | {"forget_train": after, "forget_test": after},
        threshold=12.0,
        shots=shots,
        probe=shots + 5,
        relearn_remaining=None if steps is None else after,
        relearn_few=steps,
    )


def row(called: str, kind: lasting.Kind, method: str, passes: int, *found: Left, sees: int | None = 0) -> Row:
    return Row(called, kind, method, passes, sees, dict(zip(SEEDS, found, strict=False)))


def planted(*more: Row) -> Lasting:
    """Retrain recalls 18 and 22 % with five shots; the recommended settings 30 and 32, and nothing comes back."""
    rows = [
        row("Original", "original", "original", 2_000_000, left(100, 71, 100), left(100, 73, 100)),
        row("Retrain", "retrain", "retrain", 1_000_000, left(0, 18), left(0, 22), sees=None),
        row("Boundary Shrink", "published", "boundary_shrink", 50_000, left(99, 69, 5), left(97, 69, 7)),
        row(RECOMMENDED.called, "lasting", "boundary_shrink", 10_000, left(0, 30), left(1, 32, steps=None), sees=1000),
        row(NO_IMAGE.called, "lasting", "boundary_shrink", 60_000, left(4, 20), left(6, 21)),
    ]
    return Lasting([*rows, *more], SEEDS, Gaps(["Spotter, seed 1"]), Gaps(), True, 1000)
