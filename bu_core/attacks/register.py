"""The register of the membership attacks: a new one needs a file beside these and a line in ATTACKS."""

from collections.abc import Callable
from dataclasses import dataclass

from . import Scores
from .confidence import from_confidence
from .modified_entropy import from_modified_entropy
from .own_outputs import from_own_outputs
from .shadow_models import from_shadows


@dataclass(frozen=True)
class Attack:
    """A membership attack: its `title` in figures and tables, and what gives its `scores`.

    `scores` takes the outputs of the four sets and a seed, between the two the shadow models' logits where `shadows`.
    """

    title: str
    scores: Callable[..., Scores]
    shadows: bool = False


ATTACKS: dict[str, Attack] = {
    "own_outputs": Attack("Own outputs", from_own_outputs),
    "shadow_models": Attack("Shadow models", from_shadows, shadows=True),
    "confidence": Attack("Confidence", from_confidence),
    "modified_entropy": Attack("Modified entropy", from_modified_entropy),
}
