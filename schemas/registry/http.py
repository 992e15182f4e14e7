"""Schema ids from a registry by URL, over Confluent's API.

Confluent and Karapace serve it at their root, Apicurio under `/apis/ccompat/v7`.
"""

from __future__ import annotations

import os
import threading
import time
from typing import TYPE_CHECKING, Final, Self, TypeVar, cast
from urllib.parse import quote, unquote

import httpx

from octolog.domain.errors import IncompatibleSchema, SettingsError, Unavailable, UndecodableRecord
from schemas.registry.ids import RegisteredSchema
from schemas.registry.text import checked_text, full_name

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

_T = TypeVar("_T")

USER_INFO_VARIABLE: Final = "OCTOLOG_SCHEMA_REGISTRY_USER_INFO"
_CONTENT_TYPE: Final = "application/vnd.schemaregistry.v1+json"
# A registry elects a new primary in a few seconds; 5 tries wait 0.2 + 0.4 + 0.8 + 1.6 = 3 s between them.
ATTEMPTS: Final = 5
FIRST_WAIT_S: Final = 0.2
TIMEOUT_S: Final = 5.0
# Busy, or between primaries: the same call can succeed later. Every other 5xx is treated so as well.
_TOO_MANY_REQUESTS: Final = 429
_SERVER_ERROR: Final = 500


class HttpSchemaIds:
    """`SchemaIds` from a registry by URL; safe for threads.

    What an id means never changes, so each is asked for once.
    """

    def __init__(
        self,
        url: str,
        *,
        user_info: str | None = None,
        transport: httpx.BaseTransport | None = None,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        """Connect on the first call, not here.

        Args:
            url: Base of the API, path included, e.g. `https://registry:8081` or
            `http://host:8080/apis/ccompat/v7`;
                may hold `user:password@`. Source: `OCTOLOG_SCHEMA_REGISTRY_URL`.
            user_info: `user:password` for basic authentication; outweighs the URL's. By default from
                `OCTOLOG_SCHEMA_REGISTRY_USER_INFO`.
            transport: Carries the requests; for tests and proxies.
            sleep: Waits between tries, in seconds.

        Raises:
            SettingsError: The URL is no http or https URL, or `user_info` has no colon.
        """
        base, auth = _parse(url, user_info if user_info is not None else os.environ.get(USER_INFO_VARIABLE))
        self._client = httpx.Client(base_url=base, auth=auth, timeout=TIMEOUT_S, transport=transport)
        self._shown = str(base)  # without credentials: this is what messages show
        self._sleep = sleep
        self._lock = threading.Lock()
        self._ids: dict[tuple[str, str], int] = {}
        self._texts: dict[int, str] = {}

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Close the connections."""
        self._client.close()

    def register(self, subject: str, schema: str | Mapping[str, object]) -> int:
        """Return the id of `schema` under `subject`; see `SchemaIds.register`."""
        text = checked_text(subject, schema)
        with self._lock:
            known = self._ids.get((subject, text))
        if known is not None:
            return known
        reply = self._call("POST", f"/subjects/{quote(subject, safe='')}/versions", {"schema": text})
        if reply.status_code in {httpx.codes.CONFLICT, httpx.codes.UNPROCESSABLE_ENTITY}:
            raise IncompatibleSchema(f"the registry refuses {subject}: {_message(reply)}")
        schema_id = _field(self._checked(reply), "id", int)
        with self._lock:
            self._ids[subject, text] = schema_id
        return schema_id

    def by_id(self, schema_id: int) -> tuple[str, str]:
        """Return `(subject, schema_json)`, the subject being the full name; see `SchemaIds.by_id`."""
        with self._lock:
            text = self._texts.get(schema_id)
        if text is None:
            text = self._fetch(schema_id)
            with self._lock:
                self._texts[schema_id] = text
        return full_name(text), text

    def all(self) -> tuple[RegisteredSchema, ...]:
        """Return every live version, one request for each; see `SchemaIds.all`."""
        found: list[RegisteredSchema] = []
        for subject in cast("list[str]", self._get("/subjects")):
            path = f"/subjects/{quote(subject, safe='')}/versions"
            for version in cast("list[int]", self._get(path)):
                entry = self._get(f"{path}/{version}")
                if _stands_alone(entry):
                    text, schema_id = _field(entry, "schema", str), _field(entry, "id", int)
                    found.append(RegisteredSchema(subject, version, schema_id, text))
        return tuple(sorted(found, key=lambda schema: (schema.subject, schema.version)))

    def _fetch(self, schema_id: int) -> str:
        reply = self._call("GET", f"/schemas/ids/{schema_id}")
        if reply.status_code == httpx.codes.NOT_FOUND and _error_code(reply) is not None:
            raise UndecodableRecord(f"schema id {schema_id} is not in the registry at {self._shown}")
        body = self._checked(reply)
        if not _stands_alone(body):
            raise UndecodableRecord(f"schema id {schema_id} is no self-contained Avro schema")
        text = _field(body, "schema", str)
        try:
            full_name(text)
        except IncompatibleSchema as error:
            raise UndecodableRecord(f"schema id {schema_id}: {error}") from error
        return text

    def _get(self, path: str) -> object:
        return self._checked(self._call("GET", path))

    def _call(self, method: str, path: str, body: dict[str, str] | None = None) -> httpx.Response:
        """Send a request; try again, within bounds, while the registry is away or busy."""
        why = ""
        for attempt in range(ATTEMPTS):
            if attempt:
                self._sleep(FIRST_WAIT_S * 2 ** (attempt - 1))
            try:
                reply = self._client.request(method, path, json=body, headers=_headers(body))
            except httpx.TransportError as error:
                why = f"{type(error).__name__}: {error}"
                continue
            if reply.status_code < _SERVER_ERROR and reply.status_code != _TOO_MANY_REQUESTS:
                return reply
            why = f"HTTP {reply.status_code}: {_message(reply)}"
        raise Unavailable(f"the schema registry at {self._shown} does not answer ({ATTEMPTS} tries; {why})")

    def _checked(self, reply: httpx.Response) -> object:
        """Return the body of a reply; a refusal means wrong settings, for the request itself is sound."""
        if reply.status_code in {httpx.codes.UNAUTHORIZED, httpx.codes.FORBIDDEN}:
            raise SettingsError(
                f"the schema registry at {self._shown} refuses our credentials (HTTP {reply.status_code});"
                f" set {USER_INFO_VARIABLE}=user:password"
            )
        try:
            body: object = reply.json() if reply.is_success else None
        except ValueError:
            body = None
        if body is None:
            raise SettingsError(
                f"no schema registry API at {self._shown} (HTTP {reply.status_code} for {reply.url.path});"
                " check the path in OCTOLOG_SCHEMA_REGISTRY_URL"
            )
        return body


def _parse(url: str, user_info: str | None) -> tuple[httpx.URL, httpx.BasicAuth | None]:
    try:
        parsed = httpx.URL(url)
    except httpx.InvalidURL as error:
        raise SettingsError(f"OCTOLOG_SCHEMA_REGISTRY_URL is no URL: {error}") from error
    if parsed.scheme not in {"http", "https"} or not parsed.host:
        raise SettingsError("OCTOLOG_SCHEMA_REGISTRY_URL must be an http:// or https:// URL")
    user, password = unquote(parsed.username), unquote(parsed.password or "")
    if user_info:
        user, colon, password = user_info.partition(":")
        if not colon:
            raise SettingsError(f"{USER_INFO_VARIABLE} must be user:password")
    bare = parsed.copy_with(username=None, password=None)
    return bare, httpx.BasicAuth(user, password) if user else None


def _headers(body: object) -> dict[str, str]:
    return {"Accept": _CONTENT_TYPE} | ({"Content-Type": _CONTENT_TYPE} if body is not None else {})


def _error(reply: httpx.Response) -> dict[str, object]:
    try:
        body: object = reply.json()
    except ValueError:
        return {}
    return cast("dict[str, object]", body) if isinstance(body, dict) else {}


def _message(reply: httpx.Response) -> str:
    """Return the registry's reason, on one line."""
    return " ".join(str(_error(reply).get("message") or reply.reason_phrase).split())


def _error_code(reply: httpx.Response) -> object:
    """Return the API's own code: a 404 without one comes from something else than a registry."""
    return _error(reply).get("error_code")


def _stands_alone(body: object) -> bool:
    entry = cast("dict[str, object]", body) if isinstance(body, dict) else {}
    return entry.get("schemaType") in {None, "AVRO"} and not entry.get("references")


def _field(body: object, name: str, kind: type[_T]) -> _T:
    value = cast("dict[str, object]", body).get(name) if isinstance(body, dict) else None
    if not isinstance(value, kind):
        raise SettingsError(
            f"the schema registry answers without `{name}`; check OCTOLOG_SCHEMA_REGISTRY_URL"
        )
    return value
