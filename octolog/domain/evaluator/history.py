"""Histories: what earlier steps gave, bounded; and which of a map's results a failure would show."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Final

from octolog.domain.evaluator.outputs import content_of, notes_of
from octolog.domain.evaluator.state import Body, History, Kept
from octolog.domain.json_text import canonical, quoted

MAX_CHARS: Final = 65_536
"""Entries of a history together, as JSON with their commas; what is older is cut."""

_FRAME_CHARS: Final = len('{"notes":,"step":""},')
_CONTENT_CHARS: Final = len('"content":"",')

MAX_ARRAY_CHARS: Final = 256 * 1024
"""A longer result of a map names its tasks instead of repeating their outputs."""


def push(history: History, step: str, output: str) -> None:
    """Append a step, and drop what no reader of the history would be shown any more."""
    content, notes = content_of(output), notes_of(output)
    history.steps.append(Kept(step, content[-MAX_CHARS:], notes))
    kept = history.steps[-1]
    history.full_chars += _least_full(kept)
    history.notes_chars += _least(kept)
    _forget_contents(history)
    _forget_steps(history)


def _forget_contents(history: History) -> None:
    steps = history.steps
    while history.full_from < len(steps) - 1:
        oldest = steps[history.full_from]
        chars = _least_full(oldest)
        if history.full_chars - chars < MAX_CHARS:
            return
        oldest.content = None
        history.full_chars -= chars
        history.full_from += 1


def _forget_steps(history: History) -> None:
    dropped = 0
    for oldest in history.steps[:-1]:
        if history.notes_chars - _least(oldest) < MAX_CHARS:
            break
        history.notes_chars -= _least(oldest)
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
        content = kept.content if full else ""
        if content is None:
            return entries[::-1], True
        entry = _entry(kept, content, full=full)
        if len(entry) >= room:  # and its comma
            left = room - len(_entry(kept, "", full=full)) - 1
            if full and left >= 0:
                entries.append(_entry(kept, _end(content, left), full=full))
            return entries[::-1], True
        room -= len(entry) + 1
        entries.append(entry)
    return entries[::-1], False


def _entry(kept: Kept, content: str, *, full: bool) -> str:
    told = f'"content":{canonical(content)},' if full else ""
    return f'{{{told}"notes":{kept.notes},"step":{quoted(kept.step)}}}'


def _end(content: str, room: int) -> str:
    """The longest end of a content that is no longer than `room` as JSON, its quotes left out."""
    low, high = 0, min(len(content), room)
    while low < high:
        middle = (low + high + 1) // 2
        if len(canonical(content[-middle:])) - 2 <= room:
            low = middle
        else:
            high = middle - 1
    return content[len(content) - low :]


def _least(kept: Kept) -> int:
    """The least that an entry takes without its content."""
    return _FRAME_CHARS + len(kept.notes) + len(kept.step)


def _least_full(kept: Kept) -> int:
    """The same with its content; escapes come on top of it."""
    return _least(kept) + _CONTENT_CHARS + len(kept.content or "")


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
