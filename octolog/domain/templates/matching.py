"""Which templates fit a text or a task, best first.

By words, without a model, the same on every machine: the score is the Jaccard index of the two sets of words: those in
both, divided by those in either; lowercase, without punctuation. A template of a score above 0.1 fits. Source: seed B.
Where there is an embedding model, its scoring comes from outside (`octolog.app.arms.matching`); the rest is the same.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Final

from octolog.domain.operators import Operator
from octolog.domain.tasksystem import ASTNode, TaskType
from octolog.domain.templates.records import TemplateRegistered

MAX_MATCHES: Final = 5
LEAST_SCORE: Final = 0.1
"""A template must score above this."""

_WORD: Final = re.compile(r"\w+")
_IN_WORDS: Final = re.compile(r"(?<=\w)['’](?=\w)")


@dataclass(frozen=True, slots=True)
class Match:
    """A template that fits.

    Attributes:
        name: The template.
        version: Its version.
        score: How well, above the scoring's least to 1.0.
        description: What it is for.
    """

    name: str
    version: str
    score: float
    description: str


def words(text: str) -> frozenset[str]:
    """The set of words of a text: lowercase, without punctuation."""
    return frozenset(_WORD.findall(_IN_WORDS.sub("", text.lower())))


def score(one: str, other: str) -> float:
    """How alike two texts are, 0.0 to 1.0; two texts without a word are not alike."""
    ours, theirs = words(one), words(other)
    either = ours | theirs
    return len(ours & theirs) / len(either) if either else 0.0


@dataclass(frozen=True, slots=True)
class Scoring:
    """How well texts fit.

    Attributes:
        name: `words` or `meaning`.
        model: Whose embeddings; empty: nobody's.
        least: A template must score above this.
        of: Scores of texts against one, 0.0 to 1.0, in their order; a text's does not depend on the others.
    """

    name: str
    model: str
    least: float
    of: Callable[[str, Sequence[str]], Sequence[float]]


BY_WORDS: Final = Scoring(
    "words", "", LEAST_SCORE, lambda text, others: [score(text, other) for other in others]
)


def match_text(
    text: str,
    templates: Iterable[TemplateRegistered],
    top_k: int = MAX_MATCHES,
    scoring: Scoring = BY_WORDS,
) -> tuple[Match, ...]:
    """The atomic templates that fit a text, best first; of equal ones, by name and version.

    Args:
        text: What somebody wants.
        templates: Those to choose from.
        top_k: How many at most; never more than five.
        scoring: How well each fits.
    """
    atomic = [template for template in templates if template.task_type is TaskType.ATOMIC]
    fits = scoring.of(text, [_said(template) for template in atomic])
    found = [
        Match(template.name, template.version, fit, template.description)
        for template, fit in zip(atomic, fits, strict=True)
        if fit > scoring.least
    ]
    found.sort(key=lambda match: (-match.score, match.name, match.version))
    return tuple(found[: max(0, min(top_k, MAX_MATCHES))])


def match_node(
    node: ASTNode,
    templates: Iterable[TemplateRegistered],
    top_k: int = MAX_MATCHES,
    scoring: Scoring = BY_WORDS,
) -> tuple[Match, ...]:
    """The same for one node of a syntax tree; neither its parent nor the tasks below it are looked at."""
    return match_text(_text_of(node), templates, top_k, scoring)


def match_operator(
    operator: Operator,
    templates: Iterable[TemplateRegistered],
    top_k: int = MAX_MATCHES,
    scoring: Scoring = BY_WORDS,
) -> tuple[Match, ...]:
    """The same for one operator of a program."""
    return match_text(operator.goal or operator.instructions, templates, top_k, scoring)


def _said(template: TemplateRegistered) -> str:
    if template.description.strip() or template.template is None:
        return template.description
    return template.template.task_prompt


def _text_of(node: ASTNode) -> str:
    own = {child.type: child.content for child in node.children}
    told = (
        node.content,
        own.get("description", ""),
        own.get("@description", ""),
        own.get("instructions", ""),
    )
    return next((text for text in told if text.strip()), "")
