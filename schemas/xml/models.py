"""The model ids a template may name. The list is data (`models.json`); a site adds its own."""

from __future__ import annotations

import json
from collections.abc import Iterable
from importlib.resources import files
from typing import Final


def _listed() -> frozenset[str]:
    text = files("schemas.xml").joinpath("models.json").read_text(encoding="utf-8")
    return frozenset(json.loads(text)["models"])


KNOWN_MODELS: Final = _listed()


def known_models(more: Iterable[str] = ()) -> frozenset[str]:
    """The ids that are known, and those that a site adds: its setting, or what its endpoint offers."""
    return KNOWN_MODELS | {model.strip() for model in more if model.strip()}
