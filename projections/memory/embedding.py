"""Texts to vectors: the port, and which model a name stands for.

| name | what | needs |
|---|---|---|
| `packaged` | all-MiniLM-L6-v2 as int8 ONNX, 384 numbers; comes as a Python package | nothing |
| `hashing` | words and letter trigrams hashed, 384 numbers: spelling, not meaning | nothing |
| `fastembed:MODEL` | a model that fastembed knows | the extra `fastembed`; it downloads the model once |
| `endpoint:MODEL` | a model behind an OpenAI-compatible endpoint | `OCTOLOG_LLM_BASE_URL` |
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final, Protocol
from zlib import crc32

from octolog.domain.errors import SettingsError, Unavailable
from projections.memory.words import words

PACKAGED: Final = "packaged"
HASHING: Final = "hashing"
_FASTEMBED: Final = "fastembed:"
_ENDPOINT: Final = "endpoint:"
_HASHING_DIMENSION: Final = 384
_TIMEOUT_S: Final = 60.0
_ENDPOINT_BATCH: Final = 64


class Embedder(Protocol):
    """Makes vectors. The same text gives the same vector, whatever is embedded beside it.

    Attributes:
        model: The name that `open_embedder` makes it of.
        dimension: Numbers in a vector.
    """

    model: str
    dimension: int

    def embed(self, texts: Sequence[str]) -> list[list[float]]:
        """A vector for each text, in order, of length 1.

        Raises:
            Unavailable: When the model does not answer now.
        """
        ...


@dataclass(frozen=True, slots=True)
class Endpoint:
    """An OpenAI-compatible endpoint.

    Attributes:
        base_url: Its address up to and with `/v1`.
        api_key: Sent as a bearer token; empty: none.
    """

    base_url: str
    api_key: str = ""


def open_embedder(name: str, endpoint: Endpoint | None = None) -> Embedder:
    """The model of that name.

    Raises:
        SettingsError: For a name that stands for nothing, or whose package or endpoint is missing.
    """
    if name == PACKAGED:
        from projections.memory.minilm import MiniLm

        return MiniLm()
    if name == HASHING:
        return HashingEmbedder()
    if name.startswith(_FASTEMBED):
        return FastembedEmbedder(name.removeprefix(_FASTEMBED))
    if name.startswith(_ENDPOINT):
        if endpoint is None:
            raise SettingsError(f"{name} needs OCTOLOG_LLM_BASE_URL, the address of the endpoint")
        return EndpointEmbedder(name.removeprefix(_ENDPOINT), endpoint)
    raise SettingsError(
        f"no embedding model {name[:60]!r}; there is {PACKAGED}, {HASHING}, {_FASTEMBED}MODEL, {_ENDPOINT}MODEL"
    )


class HashingEmbedder:
    """Words and letter trigrams, counted into a fixed number of places: quick, offline, the same everywhere."""

    model = HASHING
    dimension = _HASHING_DIMENSION

    def embed(self, texts: Sequence[str]) -> list[list[float]]:
        """A vector for each text, in order."""
        return [self._one(text) for text in texts]

    def _one(self, text: str) -> list[float]:
        vector = [0.0] * self.dimension
        for word in words(text):
            padded = f"<{word}>"
            for part in (word, *(padded[at : at + 3] for at in range(len(padded) - 2))):
                number = crc32(part.encode())
                # The sign is drawn from another bit, so that what meets in one place cancels out on average.
                vector[number % self.dimension] += 1.0 if number & 1 << 31 else -1.0
        return unit(vector)


class FastembedEmbedder:
    """A model of fastembed."""

    def __init__(self, name: str, **options: Any) -> None:
        try:
            from fastembed import TextEmbedding
        except ImportError:
            raise SettingsError(f"{_FASTEMBED}{name} needs `pip install octolog[fastembed]`") from None
        self.model = f"{_FASTEMBED}{name}"
        try:
            self._inner: Any = TextEmbedding(name, **options)
        except Exception as error:
            reason = " ".join(str(error).split())[:200]
            raise SettingsError(f"{self.model}: {reason}; it is fetched at its first use") from error
        self.dimension = len(self.embed(["dimension"])[0])

    def embed(self, texts: Sequence[str]) -> list[list[float]]:
        """A vector for each text, in order."""
        return [unit([float(number) for number in vector]) for vector in self._inner.embed(list(texts))]


class EndpointEmbedder:
    """A model behind an OpenAI-compatible `/embeddings`."""

    def __init__(self, name: str, endpoint: Endpoint) -> None:
        import httpx

        headers = {"Authorization": f"Bearer {endpoint.api_key}"} if endpoint.api_key else {}
        self.model = f"{_ENDPOINT}{name}"
        self._name = name
        self._client = httpx.Client(base_url=endpoint.base_url, headers=headers, timeout=_TIMEOUT_S)
        self.dimension = len(self.embed(["dimension"])[0])

    def embed(self, texts: Sequence[str]) -> list[list[float]]:
        """A vector for each text, in order."""
        found: list[list[float]] = []
        for start in range(0, len(texts), _ENDPOINT_BATCH):
            found += self._ask(list(texts[start : start + _ENDPOINT_BATCH]))
        return found

    def _ask(self, texts: list[str]) -> list[list[float]]:
        import httpx

        try:
            response = self._client.post("embeddings", json={"model": self._name, "input": texts})
            response.raise_for_status()
            rows = sorted(response.json()["data"], key=lambda row: row["index"])
            vectors = [unit([float(number) for number in row["embedding"]]) for row in rows]
        except (httpx.HTTPError, ValueError, KeyError, TypeError) as error:
            reason = " ".join(str(error).split())[:200]
            raise Unavailable(f"{self.model}: {reason or type(error).__name__}") from error
        if len(vectors) != len(texts):
            raise Unavailable(f"{self.model}: {len(vectors)} vectors for {len(texts)} texts")
        return vectors


def unit(vector: Sequence[float]) -> list[float]:
    """A vector of length 1 in the same direction; one without direction points along the first axis."""
    length = math.sqrt(sum(number * number for number in vector))
    if not length or not math.isfinite(length):
        return [1.0, *[0.0] * (len(vector) - 1)]
    return [number / length for number in vector]
