"""One corpus of hostile documents at every border that XML comes in by: each refuses all of it, soon, and says why."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

import pytest
from typer.testing import CliRunner

from arms.arm import Fail
from arms.template.answers import program
from octolog.cli.application import build
from octolog.domain.errors import InvalidContract
from octolog.edge import parse_contract
from schemas.xml import KNOWN_MODELS

SOON_S: Final = 1.0
"""As in test_refusals: seconds of this process's own time."""

ATOMIC: Final = '<task type="atomic"><description/></task>'
ENTITIES: Final = "".join(f'<!ENTITY e{n} "{f"&e{n - 1};" * 10 if n else "ha" * 10}">' for n in range(10))
HOSTILE: Final = {
    "bomb": f"<!DOCTYPE t [{ENTITIES}]><task><instructions>&e9;</instructions></task>",
    "bomb-in-an-attribute": f'<!DOCTYPE t [{ENTITIES}]><task name="&e9;"/>',
    "external-entity": '<!DOCTYPE t [<!ENTITY x SYSTEM "file:///etc/passwd">]><task><system>&x;</system></task>',
    "external-subset": '<!DOCTYPE task SYSTEM "http://127.0.0.1:9/task.dtd"><task/>',
    "include": '<task xmlns:xi="http://www.w3.org/2001/XInclude"><xi:include href="/etc/passwd"/></task>',
    "deep": "<task>" * 10_000 + "</task>" * 10_000,
    "deep-tasks": '<task type="sequential"><description/><steps>' * 33 + ATOMIC + "</steps></task>" * 33,
    "wide": f'<task type="map"><description/><steps>{ATOMIC * 24_000}</steps></task>',
    "long": "<task>" + "x" * 100_000_000,
    "same-input": '<task type="atomic"><description/><inputs><input name="a">1</input><input name="a">2</input>'
    "</inputs></task>",
    "same-step": '<task type="map"><description/><steps>'
    + '<task type="atomic" name="a"><description/></task>' * 2
    + "</steps></task>",
    "name-of-a-subtask": '<task type="map"><description/><steps>'
    '<task type="atomic" name="subtask-1"><description/></task></steps></task>',
    "too-many-made": '<task type="map"><description/><inputs>'
    + "".join(f'<input name="i{n}">x</input>' for n in range(150))
    + '</inputs><inner_task><task type="map"><description/><inputs>'
    + "".join(f'<input name="i{n}">x</input>' for n in range(150))
    + f"</inputs><inner_task>{ATOMIC}</inner_task></task></inner_task></task>",
}


def by_edge(document: str, _folder: Path) -> str:
    with pytest.raises(InvalidContract) as refused:
        parse_contract(document, models=KNOWN_MODELS)
    return str(refused.value)


def by_edge_in_json(document: str, _folder: Path) -> str:
    with pytest.raises(InvalidContract) as refused:
        parse_contract({"goal": "g", "xml": document}, models=KNOWN_MODELS)
    return str(refused.value)


def by_an_arm(document: str, _folder: Path) -> str:
    """What a model answered to a decomposition."""
    with pytest.raises(Fail) as refused:
        program(f"```xml\n{document}\n```", KNOWN_MODELS)
    given: Any = refused.value.output
    assert len(given["content"]) <= 65_536
    return f"{refused.value.code}: {refused.value}"


def by_command(*command: str) -> Callable[[str, Path], str]:
    def refuse(document: str, folder: Path) -> str:
        file = folder / "task.xml"
        file.write_text(document)
        done = CliRunner().invoke(build(), [*command, str(file), "--json"], env={"OCTOLOG_HOME": str(folder)})
        assert done.exit_code == 1, done.stdout
        assert isinstance(json.loads(done.stdout), dict)
        return done.stderr

    return refuse


BORDERS: Final[dict[str, Callable[[str, Path], str]]] = {
    "edge": by_edge,
    "edge-in-json": by_edge_in_json,
    "arm": by_an_arm,
    "submit": by_command("submit"),
    "validate": by_command("template", "validate"),
    "register": by_command("template", "register"),
}


@pytest.fixture(scope="module", autouse=True)
def loaded(tmp_path_factory: pytest.TempPathFactory) -> None:
    """Every border was crossed once before the clock runs: what a first time loads is no document's fault."""
    for border in BORDERS.values():
        border("<task/>", tmp_path_factory.mktemp("first"))


@pytest.mark.parametrize("border", BORDERS)
@pytest.mark.parametrize("name", HOSTILE)
def test_no_border_lets_a_hostile_document_in(name: str, border: str, tmp_path: Path) -> None:
    began = time.process_time()
    told = BORDERS[border](HOSTILE[name], tmp_path)
    assert time.process_time() - began < SOON_S
    assert any(kind in told for kind in ("XML_PARSE_ERROR", "VALIDATION_ERROR", "TOO_LARGE")), told
    assert "root:" not in told, "a file was read"
    assert len(told) < 10_000, "a refusal is for people"
    assert "Traceback" not in told
