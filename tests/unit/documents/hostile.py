"""Hostile documents and the borders that XML comes in by: tests ask why each is refused, a bench what it costs."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final, TypeVar

from typer.testing import CliRunner

from arms.arm import Fail
from arms.template.answers import program
from octolog.cli.application import build
from octolog.domain.errors import InvalidContract
from octolog.edge import parse_contract
from schemas.xml import KNOWN_MODELS

EXPLODED_S: Final = 20.0
"""Seconds of one thread that nothing but an explosion takes, on whatever machine.

The target of one second is measured by `benches/hostile.py`.
"""

E = TypeVar("E", bound=Exception)

ATOMIC: Final = '<task type="atomic"><description/></task>'
STEPS: Final = '<task type="map"><description/><steps>%s</steps></task>'
ENTITIES: Final = "".join(f'<!ENTITY e{n} "{f"&e{n - 1};" * 10 if n else "ha" * 10}">' for n in range(10))

HOSTILE: Final[Mapping[str, str]] = {
    "bomb": f"<!DOCTYPE t [{ENTITIES}]><task><instructions>&e9;</instructions></task>",
    "bomb-in-an-attribute": f'<!DOCTYPE t [{ENTITIES}]><task name="&e9;"/>',
    "external-entity": '<!DOCTYPE t [<!ENTITY x SYSTEM "file:///etc/passwd">]><task><system>&x;</system></task>',
    "external-subset": '<!DOCTYPE task SYSTEM "http://127.0.0.1:9/task.dtd"><task/>',
    "include": '<task xmlns:xi="http://www.w3.org/2001/XInclude"><xi:include href="/etc/passwd"/></task>',
    "deep": "<task>" * 10_000 + "</task>" * 10_000,
    "deep-tasks": '<task type="sequential"><description/><steps>' * 33 + ATOMIC + "</steps></task>" * 33,
    "wide": STEPS % (ATOMIC * 24_000),
    "long": "<task>" + "x" * 100_000_000,
    "same-input": '<task type="atomic"><description/><inputs><input name="a">1</input><input name="a">2</input>'
    "</inputs></task>",
    "same-step": STEPS % ('<task type="atomic" name="a"><description/></task>' * 2),
    "name-of-a-subtask": STEPS % '<task type="atomic" name="subtask-1"><description/></task>',
    "too-many-made": '<task type="map"><description/><inputs>'
    + "".join(f'<input name="i{n}">x</input>' for n in range(150))
    + '</inputs><inner_task><task type="map"><description/><inputs>'
    + "".join(f'<input name="i{n}">x</input>' for n in range(150))
    + f"</inputs><inner_task>{ATOMIC}</inner_task></task></inner_task></task>",
}
"""What every border refuses."""

FULL: Final[Mapping[str, str]] = {
    "attributes": "<task " + " ".join(f'a{n}="1"' for n in range(90_000)) + "/>",
    "elements": "<task>" + "<a/>" * 250_000 + "</task>",
    "unknown": "<task>" + "<a/>" * 49_000 + "</task>",
    "references": "<task>" + "&amp;" * 200_000 + "</task>",
    "long-name": "<task " + "x" * 1_000_000 + '="1"/>',
    "tasks": HOSTILE["wide"],
    "inputs": '<task type="reduce"><description/><inputs>'
    + '<input name="a"/>' * 50_000
    + "</inputs></task>",
    "names": STEPS % ('<task type="atomic" name="same"><description/></task>' * 12_000),
    "faults": STEPS % ('<task type="atomic" arm="?"><description/><model>nobody</model></task>' * 6_000),
    "mixed": STEPS % (f"{ATOMIC}x" * 8_000),
    "pattern": '<task type="atomic" name="' + "a-" * 500_000 + '!"><description/></task>',
    "digits": '<task type="atomic" max_turns="' + "9" * 1_000_000 + '"><description/></task>',
    "metadata": '<task type="atomic"><description/><metadata>' + '{"a":' * 150_000 + "</metadata></task>",
}
"""As long as a document may be, and refused."""

NAMES: Final = (
    '<task type="sequential"><description/><inputs>'
    + "".join(f'<input name="i{number}">x</input>' for number in range(12_000))
    + "</inputs><steps>"
    + '<task type="atomic"><description/><instructions>{{nowhere}}</instructions></task>' * 4_000
    + "</steps></task>"
)
"""As long as a document may be, and valid: names that are given to nobody, and names that nobody gives."""


@contextmanager
def no_explosion() -> Iterator[None]:
    """What runs within ends: it takes time in proportion to what it reads. No test of how fast a machine is."""
    began_s = time.thread_time()
    yield
    assert time.thread_time() - began_s < EXPLODED_S


def _refusal(kind: type[E], read: Callable[[], object]) -> E:
    try:
        read()
    except kind as error:
        return error
    raise AssertionError("it was let in")


def _by_edge(document: str, _file: Path) -> str:
    return str(_refusal(InvalidContract, lambda: parse_contract(document, models=KNOWN_MODELS)))


def _by_edge_in_json(document: str, _file: Path) -> str:
    given = {"goal": "g", "xml": document}
    return str(_refusal(InvalidContract, lambda: parse_contract(given, models=KNOWN_MODELS)))


def _by_an_arm(document: str, _file: Path) -> str:
    """What a model answered to a decomposition."""
    refused = _refusal(Fail, lambda: program(f"```xml\n{document}\n```", KNOWN_MODELS))
    given: Any = refused.output
    assert len(given["content"]) <= 65_536
    return f"{refused.code}: {refused}"


def _by_command(*command: str) -> Callable[[str, Path], str]:
    def refuse(_document: str, file: Path) -> str:
        done = CliRunner().invoke(
            build(), [*command, str(file), "--json"], env={"OCTOLOG_HOME": str(file.parent)}
        )
        assert done.exit_code == 1, done.stdout
        assert isinstance(json.loads(done.stdout), dict)
        return done.stderr

    return refuse


BORDERS: Final[Mapping[str, Callable[[str, Path], str]]] = {
    "edge": _by_edge,
    "edge-in-json": _by_edge_in_json,
    "arm": _by_an_arm,
    "submit": _by_command("submit"),
    "validate": _by_command("template", "validate"),
    "register": _by_command("template", "register"),
}
"""What each says of a document, and of the file that holds it: the refusal as people read it."""


def written(name: str, document: str, folder: Path) -> Path:
    """The file that holds a document; its folder is made."""
    file = folder / f"{name}.xml"
    if not file.exists():
        folder.mkdir(parents=True, exist_ok=True)
        file.write_text(document)
    return file


def cross_all(folder: Path) -> None:
    """Every border once: what a first time loads is no document's fault."""
    for border in BORDERS.values():
        border("<task/>", written("first", "<task/>", folder))
