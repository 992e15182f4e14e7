"""Lineage as a picture in SVG: from who asked and what was read, on the left, to what came of it, on the right. Pure.

A task is a box with its attempts in it: arm, model, time and cost. A box for each source and memory. Many alike, such
as the tasks of a wide map, share one box. It is text and lines alone: no script, no style sheet, nothing from outside.
"""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Any, Final
from xml.sax import saxutils

from projections.provenance.graph import How, Kind, Lineage, Ref, Relation, Thing
from projections.provenance.layers import Layout, layout

_WIDTH: Final = 270.0
_APART: Final = 90.0
_GAP: Final = 18.0
_LINE: Final = 17.0
_PAD: Final = 10.0
_MARGIN: Final = 24.0
_TOP: Final = 82.0
_LEAST_WIDTH: Final = 640.0
_BOLD_CHARS: Final = 31
_CHARS: Final = 40
_ALIKE: Final = 6
"""So many boxes of one sort with the same neighbours are drawn one by one; the rest of them share a box."""

_FILL: Final = {
    Kind.PERSON: ("#ede7f6", "#5e35b1"),
    Kind.TASK: ("#e3f2fd", "#1565c0"),
    Kind.SOURCE: ("#fff8e1", "#b26a00"),
    Kind.MEMORY: ("#e8f5e9", "#2e7d32"),
    Kind.ARM: ("#1565c0", "#1565c0"),
    Kind.MODEL: ("#ad1457", "#ad1457"),
}
_STATUS: Final = {"COMPLETED": "#2e7d32", "FAILED": "#c62828", "CANCELLED": "#757575"}
_FONT: Final = "font-family='DejaVu Sans, Liberation Sans, Arial, sans-serif'"
_ARROW: Final = (
    "<defs><marker id='to' viewBox='0 0 8 8' refX='7' refY='4' markerWidth='7' markerHeight='7' orient='auto'>"
    "<path d='M0 0L8 4L0 8z' fill='#78909c'/></marker></defs>"
)
_BOLD: Final = " font-weight='bold'"
_SECOND_MS: Final = 1_000
_MINUTES_MS: Final = 120_000
"""From here on times are told in minutes, milliseconds."""


@dataclass(frozen=True, slots=True)
class _Text:
    """A line of a box.

    Attributes:
        text: What it says.
        color: Its colour.
        bold: True for names.
    """

    text: str
    color: str = "#37474f"
    bold: bool = False


@dataclass(slots=True)
class _Box:
    """A box.

    Attributes:
        ref: What it stands for; of several alike, the first.
        lines: What it says.
        hint: The same in full, shown when pointed at.
        border: Its colour.
        focus: True for the task that was asked for.
    """

    ref: Ref
    lines: list[_Text]
    hint: str
    border: str
    focus: bool = False
    count: int = 1

    @property
    def height(self) -> float:
        return 2 * _PAD + _LINE * len(self.lines)


@dataclass(slots=True)
class _Drawing:
    boxes: dict[Ref, _Box] = field(default_factory=dict)
    edges: dict[tuple[Ref, Ref], How] = field(default_factory=dict)


def draw(lineage: Lineage) -> str:
    """The picture, as the text of an SVG file."""
    drawing = _together(_drawing(lineage))
    refs = list(drawing.boxes)
    size = {ref: box.height for ref, box in drawing.boxes.items()}
    found = layout(refs, drawing.edges, size, _GAP)
    at = {ref: (_left(found.column[ref]), found.top[ref] + _TOP) for ref in refs}
    width = max([x + _WIDTH for x, _ in at.values()] + [_LEAST_WIDTH]) + _MARGIN
    height = max([y + size[ref] for ref, (_, y) in at.items()] + [y for _, y in _passed(found)]) + _MARGIN
    lines = [_edge(drawing, found, at, edge, how) for edge, how in drawing.edges.items()]
    boxes = [_box(drawing.boxes[ref], *at[ref]) for ref in refs]
    title = _cut(f"Lineage of {lineage.task_id}", 90)
    return "\n".join(
        [
            _open(width, height),
            f"<title>{_xml(title)}</title>",
            _ARROW,
            f"<rect width='{width:.0f}' height='{height:.0f}' fill='white'/>",
            f"<text x='{_MARGIN}' y='30' font-size='17' font-weight='bold' fill='#263238'>{_xml(title)}</text>",
            _legend(),
            *lines,
            *boxes,
            "</svg>\n",
        ]
    )


def _drawing(lineage: Lineage) -> _Drawing:
    found = _Drawing()
    attempts: defaultdict[Ref, list[Thing]] = defaultdict(list)
    task_of: dict[Ref, Ref] = {}
    for told in lineage.relations.values():
        if told.how is How.ATTEMPT_AT:
            attempts[told.object].append(lineage.things[told.subject])
            task_of[told.subject] = told.object
        if told.how is How.MADE_BY:
            task_of[told.subject] = Ref(Kind.TASK, told.subject.name)
    for thing in lineage.things.values():
        if thing.ref.kind in (Kind.PERSON, Kind.SOURCE, Kind.MEMORY):
            found.boxes[thing.ref] = _plain(thing)
        elif thing.ref.kind is Kind.TASK:
            box = _task(lineage, thing, attempts[thing.ref])
            found.boxes[thing.ref] = replace(box, focus=thing.ref.name == lineage.task_id)
    for told in lineage.relations.values():
        _relate(found, told, task_of)
    return found


def _relate(found: _Drawing, told: Relation, task_of: dict[Ref, Ref]) -> None:
    """An edge from what was first to what came of it; attempts and outputs stand in their task's box."""
    subject, other = (task_of.get(ref, ref) for ref in (told.subject, told.object))
    if subject == other or subject not in found.boxes or other not in found.boxes:
        return
    if told.how is How.SUPERSEDES or other.kind is Kind.PERSON:
        found.edges.setdefault((other, subject), told.how)
    elif told.how in (How.USED, How.RECORDED_BY):
        found.edges[other, subject] = told.how
    elif told.how is How.PART_OF and (subject, other) not in found.edges:
        found.edges.setdefault((other, subject), told.how)


def _plain(thing: Thing) -> _Box:
    kind = thing.ref.kind
    lines = [_Text(kind.value, _FILL[kind][1]), _Text(_cut(thing.label, _BOLD_CHARS), "#212121", bold=True)]
    if kind is Kind.MEMORY:
        told = ", ".join(
            str(word).lower() for word in (thing.details.get("entity_type"), _time(thing.begun_at)) if word
        )
        lines += [_Text(told)] if told else []
        lines += [_Text(f"forgotten {_time(thing.ended_at)}", "#c62828")] if thing.ended_at else []
    return _Box(thing.ref, lines, _hint(thing), _FILL[kind][1])


def _task(lineage: Lineage, thing: Thing, attempts: list[Thing]) -> _Box:
    status = str(thing.details.get("status", ""))
    word = thing.details.get("operator") or thing.details.get("made_as") or "task"
    what = "step" if word == "PLANNED" else str(word).lower()
    what = "task of another tree" if thing.details.get("elsewhere") else what
    head = " · ".join(part for part in (what, status.lower(), _took(thing)) if part)
    color = _STATUS.get(status, _FILL[Kind.TASK][1])
    lines = [_Text(head, color), _Text(_cut(thing.label, _BOLD_CHARS), "#212121", bold=True)]
    goal = str(thing.details.get("goal", ""))
    if goal and goal != thing.label:
        lines.append(_Text(_cut(goal, _CHARS)))
    for attempt in attempts[-_ALIKE:]:
        lines += _attempt(lineage, attempt)
    output = lineage.things.get(Ref(Kind.OUTPUT, thing.ref.name))
    if output is not None:
        lines.append(_Text(f"output sha256 {output.details['sha256'][:16]}…", "#546e7a"))
    return _Box(thing.ref, lines, _hint(thing), color)


def _attempt(lineage: Lineage, attempt: Thing) -> list[_Text]:
    arms = ", ".join(arm.name for arm in lineage.about(attempt.ref, How.DONE_BY))
    models = ", ".join(model.name for model in lineage.about(attempt.ref, How.ANSWERED_BY))
    told = attempt.details
    outcome = str(told.get("outcome", "OPEN")).lower()
    cost = told.get("cost_dollars")
    rest = " · ".join(part for part in (outcome, _took(attempt), f"${cost:.4f}" if cost else "") if part)
    lines = [_Text(_cut(f"▸ {arms} · {rest}", _CHARS), _FILL[Kind.ARM][1])]
    return [*lines, _Text(_cut(f"   model {models}", _CHARS), _FILL[Kind.MODEL][1])] if models else lines


def _together(drawing: _Drawing) -> _Drawing:
    """Boxes of one sort with the same neighbours, beyond the first few, in one box."""
    before: defaultdict[Ref, set[Ref]] = defaultdict(set)
    after: defaultdict[Ref, set[Ref]] = defaultdict(set)
    for a, b in drawing.edges:
        after[a].add(b)
        before[b].add(a)
    alike: defaultdict[Any, list[Ref]] = defaultdict(list)
    for ref, box in drawing.boxes.items():
        sort = box.lines[0].text.split(" · ")[:2]
        alone = box.focus or ref.kind is Kind.PERSON
        # What each of many reads for itself does not make them different.
        above = frozenset(one for one in before[ref] if one.kind is Kind.TASK)
        below = frozenset(one for one in after[ref] if one.kind is Kind.TASK or ref.kind is Kind.TASK)
        alike[ref if alone else (ref.kind, *sort, above, below)].append(ref)
    stands_for = {
        ref: some[_ALIKE] for some in alike.values() if len(some) > _ALIKE + 1 for ref in some[_ALIKE:]
    }
    found = _Drawing()
    for ref, box in drawing.boxes.items():
        first = stands_for.get(ref, ref)
        if first != ref:
            found.boxes[first].count += 1
        else:
            found.boxes[ref] = box
    for (a, b), how in drawing.edges.items():
        found.edges.setdefault((stands_for.get(a, a), stands_for.get(b, b)), how)
    for box in found.boxes.values():
        if box.count > 1:
            lines = [box.lines[0], _Text(f"… and {box.count} more like these", "#212121", bold=True)]
            found.boxes[box.ref] = replace(box, lines=lines, hint=f"{box.count} of them")
    return found


# Writing


def _open(width: float, height: float) -> str:
    size = f"{width:.0f}", f"{height:.0f}"
    return (
        f"<svg xmlns='http://www.w3.org/2000/svg' width='{size[0]}' height='{size[1]}' "
        f"viewBox='0 0 {size[0]} {size[1]}' {_FONT} font-size='12'>"
    )


def _box(box: _Box, x: float, y: float) -> str:
    fill, _ = _FILL[box.ref.kind]
    width = 3 if box.focus else 1.2
    stack = (
        f"<rect x='{x + 4:.1f}' y='{y + 4:.1f}' width='{_WIDTH}' height='{box.height:.1f}' rx='6' fill='{fill}' "
        f"stroke='{box.border}' stroke-width='1'/>"
        if box.count > 1
        else ""
    )
    texts = "".join(
        f"<text x='{x + _PAD:.1f}' y='{y + _PAD + _LINE * (index + 0.75):.1f}' fill='{line.color}'"
        f"{_BOLD if line.bold else ''} xml:space='preserve'>{_xml(line.text)}</text>"
        for index, line in enumerate(box.lines)
    )
    return (
        f"<g><title>{_xml(box.hint)}</title>{stack}<rect x='{x:.1f}' y='{y:.1f}' width='{_WIDTH}' "
        f"height='{box.height:.1f}' rx='6' fill='{fill}' stroke='{box.border}' stroke-width='{width}'/>{texts}</g>"
    )


def _edge(
    drawing: _Drawing, found: Layout[Ref], at: dict[Ref, tuple[float, float]], edge: tuple[Ref, Ref], how: How
) -> str:
    """A curve to the next column, straight through the columns it passes."""
    (ax, ay), (bx, by) = (at[ref] for ref in edge)
    x, y = ax + _WIDTH, ay + drawing.boxes[edge[0]].height / 2
    path = f"M{x:.1f} {y:.1f}"
    stops = [(_left(column), top + _TOP, _WIDTH) for column, top in sorted(found.bends.get(edge, ()))]
    for next_x, next_y, on in (*stops, (bx - 2, by + drawing.boxes[edge[1]].height / 2, 0.0)):
        bend = _APART / 2 if next_x > x else _WIDTH
        path += f"C{x + bend:.1f} {y:.1f} {next_x - bend:.1f} {next_y:.1f} {next_x:.1f} {next_y:.1f}"
        path += f"h{on:.1f}" if on else ""
        x, y = next_x + on, next_y
    dash = " stroke-dasharray='4 4'" if how is How.PART_OF else ""
    color = "#b0bec5" if how is How.PART_OF else "#78909c"
    return (
        f"<path d='{path}' fill='none' stroke='{color}' stroke-width='1.4'{dash} marker-end='url(#to)'>"
        f"<title>{_words(how)}</title></path>"
    )


def _left(column: int) -> float:
    return _MARGIN + column * (_WIDTH + _APART)


def _passed(found: Layout[Ref]) -> list[tuple[int, float]]:
    return [(column, top + _TOP) for bends in found.bends.values() for column, top in bends]


def _words(how: How) -> str:
    """What an edge says when it is pointed at, read from left to right."""
    return {
        How.USED: "given to",
        How.RECORDED_BY: "recorded",
        How.PART_OF: "is made of",
        How.SUPERSEDES: "superseded by",
        How.ASKED_BY: "asked for",
    }[how]


def _legend() -> str:
    parts, x = [], _MARGIN
    for kind in (Kind.PERSON, Kind.TASK, Kind.SOURCE, Kind.MEMORY, Kind.ARM, Kind.MODEL):
        fill, stroke = _FILL[kind]
        parts.append(
            f"<rect x='{x}' y='42' width='12' height='12' rx='2' fill='{fill}' stroke='{stroke}'/>"
            f"<text x='{x + 18}' y='52' fill='#546e7a'>{kind.value}</text>"
        )
        x += 32 + 8 * len(kind.value)
    parts.append(
        f"<path d='M{x} 48h26' stroke='#78909c' stroke-width='1.4' marker-end='url(#to)'/>"
        f"<text x='{x + 32}' y='52' fill='#546e7a'>was given to</text>"
        f"<path d='M{x + 122} 48h26' stroke='#b0bec5' stroke-width='1.4' stroke-dasharray='4 4' marker-end='url(#to)'/>"
        f"<text x='{x + 154}' y='52' fill='#546e7a'>is made of</text>"
    )
    return "".join(parts)


def _hint(thing: Thing) -> str:
    told = "\n".join(f"{name}: {value}" for name, value in thing.details.items())
    return f"{thing.ref.kind} {thing.ref.name}\n{told}"


def _took(thing: Thing) -> str:
    if thing.begun_at is None or thing.ended_at is None:
        return ""
    ms = (thing.ended_at - thing.begun_at).total_seconds() * 1_000
    if ms < _SECOND_MS:
        return f"{ms:.0f} ms"
    return f"{ms / 1_000:.1f} s" if ms < _MINUTES_MS else f"{ms / 60_000:.0f} min"


def _time(at: datetime | None) -> str:
    return "" if at is None else at.isoformat(sep=" ", timespec="seconds")


def _cut(text: str, chars: int) -> str:
    """Text on one line that fits."""
    line = " ".join(text.split())
    return line if len(line) <= chars else f"{line[: chars - 1]}…"


def _xml(text: str) -> str:
    """Text between tags, without what XML cannot say."""
    return saxutils.escape("".join(c if c.isprintable() or c == "\n" else "�" for c in text))
