"""Histories: what earlier steps gave, bounded; and which of a map's results a failure would show."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Final

from octolog.domain.evaluator.outputs import content_of, notes_of
from octolog.domain.evaluator.state import Body, History, Kept
from octolog.domain.json_text import canonical, quoted

MAX_CHARS: Final = 65_536
"""Contents and notes of a history together; what is older is cut."""

MAX_ARRAY_CHARS: Final = 256 * 1024
"""A longer result of a map names its tasks instead of repeating their outputs."""


def push(history: History, step: str, output: str) -> None:
    """Append a step, and drop what no reader of the history would be shown any more."""
    content, notes = content_of(output), notes_of(output)
    history.steps.append(Kept(step, content[-MAX_CHARS:], notes))
    history.full_chars += min(len(content), MAX_CHARS) + len(notes)
    history.notes_chars += len(notes)
    _forget_contents(history)
    _forget_steps(history)


def _forget_contents(history: History) -> None:
    steps = history.steps
    while history.full_from < len(steps) - 1:
        oldest = steps[history.full_from]
        chars = len(oldest.content or "") + len(oldest.notes)
        if history.full_chars - chars < MAX_CHARS:
            return
        oldest.content = None
        history.full_chars -= chars
        history.full_from += 1


def _forget_steps(history: History) -> None:
    dropped = 0
    for oldest in history.steps[:-1]:
        if history.notes_chars - len(oldest.notes) < MAX_CHARS:
            break
        history.notes_chars -= len(oldest.notes)
        dropped += 1
    if dropped:
        del history.steps[:dropped]
        history.full_from = max(0, history.full_from - dropped)
        history.lost = True


def shown(history: History, *, full: bool) -> tuple[list[str], bool]:
    """The entries that fit, oldest first, each as canonical JSON; and whether something was cut."""
    entries, cut = _shown(reversed(history.steps), full=full)
    return entries, cut or history.lost


def _shown(newest_first: Iterable[Kept], *, full: bool) -> tuple[list[str], bool]:
    room, entries = MAX_CHARS, list[str]()
    for kept in newest_first:
        content = (kept.content or "") if full else ""
        chars = len(content) + len(kept.notes)
        cut = chars > room or (full and kept.content is None)
        if cut and (not full or len(kept.notes) > room or kept.content is None):
            return entries[::-1], True
        content = content[max(0, chars - room) :]
        room -= len(content) + len(kept.notes)
        told = f'"content":{canonical(content)},' if full else ""
        entries.append(f'{{{told}"notes":{kept.notes},"step":{quoted(kept.step)}}}')
        if cut:
            return entries[::-1], True
    return entries[::-1], False


def keep(body: Body, index: int, element: str, *, full: bool) -> None:
    """File a map's result; once they are too many for one array, keep what a failure would show."""
    body.results[index] = element
    body.result_chars += len(element) + 1
    if body.result_chars <= (2 * MAX_ARRAY_CHARS if body.is_wide else MAX_ARRAY_CHARS):
        return
    body.is_wide = True
    room = MAX_CHARS
    for place in sorted(body.results, reverse=True):
        element = body.results[place]
        if room <= 0:
            element = body.results[place] = ""
        if not element:
            continue
        room -= len(notes_of(element)) + (len(content_of(element)) if full else 0)
    body.result_chars = sum(map(len, body.results.values()))


def shown_results(body: Body, names: Mapping[int, str], *, full: bool) -> tuple[list[str], bool]:
    """A map's results in the form of a history, and whether something was cut."""
    kept = [
        Kept(names[place], content_of(element), notes_of(element))
        for place, element in sorted(body.results.items(), reverse=True)
        if element
    ]
    entries, cut = _shown(kept, full=full)
    return entries, cut or len(kept) < len(body.results)
