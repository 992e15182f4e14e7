"""One corpus of hostile documents at every border that XML comes in by: each refuses all of it and says why."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.unit.documents.hostile import BORDERS, HOSTILE, cross_all, no_explosion, written


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where the documents lie; every border was crossed once."""
    found = tmp_path_factory.mktemp("hostile")
    cross_all(found)
    return found


@pytest.mark.parametrize("border", BORDERS)
@pytest.mark.parametrize("name", HOSTILE)
def test_no_border_lets_a_hostile_document_in(name: str, border: str, folder: Path) -> None:
    file = written(name, HOSTILE[name], folder)
    with no_explosion():
        told = BORDERS[border](HOSTILE[name], file)
    assert any(kind in told for kind in ("XML_PARSE_ERROR", "VALIDATION_ERROR", "TOO_LARGE")), told
    assert "root:" not in told, "a file was read"
    assert len(told) < 10_000, "a refusal is for people"
    assert "Traceback" not in told
