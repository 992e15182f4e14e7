"""The pages: each is reachable from the README, no link leads nowhere, and every command shown is there."""

from __future__ import annotations

import re
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any, Final

import pytest
import typer

from arms.review import review_documents
from octolog.cli.application import build
from tests.unit.test_layout import tracked_files

ROOT: Final = Path(__file__).parents[2]
LINK: Final = re.compile(r"\[[^\]]*\]\(([^)\s#]+)[^)]*\)")
# A command in a line of a console block, or alone between backticks.
TYPED: Final = re.compile(r"(?:^\$ |[|;&(] ?|`)octolog ([a-z][^\n`]*)", re.MULTILINE)
OPTION: Final = re.compile(r"--[a-z][a-z-]*")
ON_THEIR_OWN: Final = frozenset({"provenance"})  # groups that take what no command of theirs is called by


def pages() -> list[Path]:
    return [
        path
        for path in tracked_files()
        if path.suffix == ".md" and path.relative_to(ROOT).parts[0] != "tests"
    ]


def reachable(page: Path) -> Iterator[Path]:
    for target in LINK.findall(page.read_text(encoding="utf-8")):
        path = (page.parent / target).resolve()
        if path.suffix == ".md" and path.is_file():
            yield path


def test_every_page_is_reachable_from_the_readme() -> None:
    seen: set[Path] = set()
    ahead = [ROOT / "README.md"]
    while ahead:
        page = ahead.pop()
        if page not in seen:
            seen.add(page)
            ahead += reachable(page)
    assert [str(page.relative_to(ROOT)) for page in pages() if page not in seen] == []


def test_no_link_or_anchor_leads_nowhere() -> None:
    found = review_documents(ROOT, [str(page.relative_to(ROOT)) for page in pages()]).findings
    assert [f"{each.path}:{each.line}: {each.message}" for each in found] == []


@cache
def surface() -> Any:
    return typer.main.get_command(build())


def unknown(typed: str) -> str | None:
    """The first word of a command that is no command, or its first option that is none."""
    found = surface()
    words = re.split(r"[#|]", typed)[0].split()
    while words and hasattr(found, "commands"):
        if not re.fullmatch(r"[a-z-]+", words[0]):
            return None  # `octolog task ID`, `octolog audit ...`: a group as a whole
        if words[0] not in found.commands:
            return None if found.name in ON_THEIR_OWN else words[0]
        found = found.commands[words.pop(0)]
    options = {name for parameter in found.params for name in (*parameter.opts, *parameter.secondary_opts)}
    return next((word for word in OPTION.findall(" ".join(words)) if word not in options | {"--help"}), None)


@pytest.mark.parametrize(
    ("typed", "missing"),
    [
        ("task show refunds --json", None),
        ("task", None),
        ("provenance refunds", None),
        ("task shew refunds", "shew"),
        ("submit - --wate", "--wate"),
    ],
)
def test_a_command_that_is_none_is_found_out(typed: str, missing: str | None) -> None:
    assert unknown(typed) == missing


@pytest.mark.parametrize("page", pages(), ids=lambda page: str(page.relative_to(ROOT)))
def test_every_command_shown_is_there(page: Path) -> None:
    typed = TYPED.findall(page.read_text(encoding="utf-8"))
    assert {each: missing for each in typed if (missing := unknown(each)) is not None} == {}
