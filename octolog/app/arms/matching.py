"""How well templates fit, by the model that memories are embedded with; by words where there is none."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Final

from octolog.app.arms.equipment import embedder
from octolog.app.settings import Settings
from octolog.domain.errors import Unavailable
from octolog.domain.templates.matching import BY_WORDS, Scoring

if TYPE_CHECKING:
    from arms.retriever.ports import Embedder

LEAST_SIMILARITY: Final = 0.3
"""With the packaged model, sentences about different things stay below it."""

_DIGITS: Final = 6
"""What differs from one processor to the next, with the same model, is rounded off."""


def scoring(settings: Settings) -> Scoring:
    """By meaning where an embedding model is at hand, else by words.

    The score by meaning is the cosine of the two embeddings, nothing below 0, rounded to six digits.
    """
    try:
        found = embedder(settings)
    except Unavailable:
        return BY_WORDS
    return BY_WORDS if found is None else by_meaning(found)


def by_meaning(model: Embedder) -> Scoring:
    """By the embeddings of a model."""

    def scores(text: str, others: Sequence[str]) -> Sequence[float]:
        if not text.strip() or not others:
            return [0.0] * len(others)
        wanted = model.embed([text])[0]
        # One at a time: a text's score must not depend on its neighbours.
        return [_cosine(wanted, model.embed([other])[0]) if other.strip() else 0.0 for other in others]

    return Scoring("meaning", model.model, LEAST_SIMILARITY, scores)


def _cosine(one: Sequence[float], other: Sequence[float]) -> float:
    """Of vectors of length 1."""
    product = sum(a * b for a, b in zip(one, other, strict=True))
    return round(min(1.0, max(0.0, product)), _DIGITS)
