"""The tutorial's commands, typed from top to bottom: what the page shows is what a reader sees."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import pytest

from arms.sandbox.box import detect
from arms.sandbox.walls import missing

pytestmark = [pytest.mark.integration, pytest.mark.e2e, pytest.mark.timeout(600)]

PAGE: Final = Path(__file__).parents[2] / "docs" / "tutorial.md"
_BLOCK: Final = re.compile(r"^```console\n(.*?)^```$", re.MULTILINE | re.DOTALL)
_HEREDOC: Final = re.compile(r"<<'?(?P<end>\w+)'?$")
_ANY: Final = "..."
# Settings of whoever runs the tests would make another node than the page's.
_FOREIGN: Final = "OCTOLOG_"


@dataclass(frozen=True, slots=True)
class Typed:
    """A command of the page.

    Attributes:
        text: What is typed, here-documents and all.
        shown: The output that the page shows.
    """

    text: str
    shown: str


def commands(page: str) -> Iterator[Typed]:
    """The commands of a page, in order."""
    for block in _BLOCK.findall(page):
        lines = iter(block.splitlines())
        typed: list[str] = []
        shown: list[str] = []
        for line in lines:
            if not line.startswith("$ "):
                shown.append(line)
                continue
            if typed:
                yield Typed("\n".join(typed), "\n".join(shown))
            typed, shown = [line[2:]], []
            here = _HEREDOC.search(line)
            while here is not None and typed[-1] != here["end"]:
                typed.append(next(lines))
        if typed:
            yield Typed("\n".join(typed), "\n".join(shown))


def pattern(shown: str) -> re.Pattern[str]:
    """What a page shows, as a pattern: `...` is any text, on a line of its own any lines; blanks are blanks."""
    parts = []
    for line in filter(str.strip, shown.splitlines()):
        if line.strip() == _ANY:
            parts.append(r"(?:[^\n]*\n)*?")
        else:
            words = (r"[^\n]*".join(map(re.escape, word.split(_ANY))) for word in line.split())
            parts.append(r"[ ]*" + r"[ ]+".join(words) + r"[ ]*\n")
    return re.compile("".join(parts))


def plain(output: str) -> str:
    """Output without empty lines, each line ended."""
    return "".join(f"{line.rstrip()}\n" for line in output.splitlines() if line.strip())


@pytest.fixture(scope="module")
def outputs(
    kafka_jars: None, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[dict[str, tuple[str, int]]]:
    """What each command said, and its exit code; typed into one shell in an empty folder."""
    if walls := missing(detect()):
        pytest.skip(f"this machine cannot confine programs: {walls}")
    folder = tmp_path_factory.mktemp("tutorial")
    typed = list(commands(PAGE.read_text(encoding="utf-8")))
    mark = "@@ said by command"
    script = "".join(f"{each.text}\nprintf '\\n{mark} {n} %d\\n' $?\n" for n, each in enumerate(typed))
    environment = {name: value for name, value in os.environ.items() if not name.startswith(_FOREIGN)}
    environment["PATH"] = f"{Path(sys.executable).parent}{os.pathsep}{environment['PATH']}"
    try:
        ran = subprocess.run(
            ["bash", "-c", script],
            cwd=folder,
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            check=False,
            timeout=500,
        )
        said = re.split(rf"\n{mark} \d+ (\d+)\n", ran.stdout)
        yield {
            each.text: (out, int(code)) for each, out, code in zip(typed, said[::2], said[1::2], strict=False)
        }
    finally:
        subprocess.run(
            [sys.executable, "-m", "octolog.cli", "down", "--home", str(folder / "log")],
            env=environment,
            capture_output=True,
            check=False,
            timeout=120,
        )


def test_every_command_of_the_tutorial_says_what_the_page_shows(outputs: dict[str, tuple[str, int]]) -> None:
    wrong = []
    for each in commands(PAGE.read_text(encoding="utf-8")):
        said, code = outputs[each.text]
        if code != 0 or (each.shown and pattern(each.shown).fullmatch(plain(said)) is None):
            wrong.append(f"$ {each.text}\n{said}\nexit code {code}; the page shows:\n{each.shown}")
    assert not wrong, "\n\n".join(wrong)
