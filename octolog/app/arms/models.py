"""Which model ids exist for this site: the listed ones, its own (`OCTOLOG_MODELS`), and what its endpoint offers."""

from __future__ import annotations

from functools import cached_property
from typing import Any, Final

from octolog.app.settings import Settings
from schemas.xml.models import known_models

_TIMEOUT_S: Final = 5.0


class Models:
    """Answers `model in models`; asks the endpoint only about a model that nothing else knows.

    Args:
        settings: Names the site's own models, and its endpoint.
    """

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._known = known_models([*settings.models.split(","), settings.llm_model or ""])

    def __contains__(self, model: object) -> bool:
        return model in self._known or model in self._offered

    @cached_property
    def _offered(self) -> frozenset[str]:
        """What the endpoint lists; nothing when there is none, or it does not answer."""
        if self._settings.llm_base_url is None:
            return frozenset()
        key = self._settings.llm_api_key
        headers = {} if key is None else {"Authorization": f"Bearer {key.get_secret_value()}"}
        url = f"{self._settings.llm_base_url.rstrip('/')}/models"
        import httpx  # most documents name a model that is listed

        try:
            answer: Any = httpx.get(url, headers=headers, timeout=_TIMEOUT_S).raise_for_status().json()
            return frozenset(str(model["id"]) for model in answer["data"])
        except (httpx.HTTPError, httpx.InvalidURL, ValueError, KeyError, TypeError):
            return frozenset()
