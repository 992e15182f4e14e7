"""What a call costs: integer micro-dollars, rounded up, by the price that held when it began."""

from __future__ import annotations

import json
from datetime import UTC, date, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from typer.testing import CliRunner

from arms.prices.own import OwnPrice
from arms.prices.price import FREE, UNKNOWN, Price, Prices, Source, is_local
from octolog.app.settings import load_settings
from octolog.cli.application import build
from octolog.domain.errors import SettingsError

AT = datetime(2026, 6, 1, 12, tzinfo=UTC)
OPENAI = "https://api.openai.com/v1"
GOOGLE = "https://generativelanguage.googleapis.com/v1beta/openai"
FAR = "https://models.example.com/v1"
AMOUNTS = st.integers(min_value=0, max_value=5_000_000)
DOLLARS = st.decimals(min_value=0, max_value=1_000, places=6)


def own(
    model: str = "tiny", dollars: tuple[str, str] = ("0.25", "1.25"), since: date | None = None
) -> OwnPrice:
    price = OwnPrice(model=model, input_dollars=Decimal(dollars[0]), output_dollars=Decimal(dollars[1]))
    return price if since is None else price.model_copy(update={"since": since})


@pytest.mark.parametrize(
    ("tokens", "micros"),
    [((0, 0), 0), ((1, 0), 1), ((4, 0), 1), ((5, 0), 2), ((0, 4), 5), ((3, 3), 5), ((1_000_000, 0), 250_000)],
)
def test_a_cost_is_whole_micro_dollars_rounded_up_once(tokens: tuple[int, int], micros: int) -> None:
    assert Prices([own()]).of("tiny", FAR, AT).cost_micros(*tokens) == micros


@given(AMOUNTS, AMOUNTS, DOLLARS, DOLLARS)
def test_rounding_never_charges_less_nor_a_micro_dollar_more(
    prompt: int, answer: int, input_dollars: Decimal, output_dollars: Decimal
) -> None:
    price = Price(Source.OWN, "v", input_dollars, output_dollars)
    exact = prompt * input_dollars + answer * output_dollars
    assert 0 <= price.cost_micros(prompt, answer) - exact < 1


def test_the_latest_price_that_has_begun_holds_and_its_version_says_so() -> None:
    later, first = own(dollars=("0.5", "2"), since=date(2026, 7, 1)), own(since=date(2026, 1, 1))
    prices = Prices([later, first])
    assert prices.of("tiny", FAR, AT).version == "own:0.25/1.25 since 2026-01-01"
    assert prices.of("tiny", FAR, datetime(2026, 7, 1, tzinfo=UTC)).version == "own:0.5/2 since 2026-07-01"
    assert prices.of("tiny", FAR, datetime(2025, 12, 31, 23, 59, tzinfo=UTC)) is UNKNOWN
    assert Prices([own()]).of("tiny", FAR, AT).version == "own:0.25/1.25"


def test_own_prices_win_over_published_ones_and_over_local_zero() -> None:
    pytest.importorskip("genai_prices")
    mine = Prices([own("gpt-4o")])
    assert mine.of("gpt-4o", OPENAI, AT).source is Source.OWN
    assert mine.of("gpt-4o", "http://127.0.0.1:8080/v1", AT).source is Source.OWN
    assert Prices().of("gpt-4o", OPENAI, AT).source is Source.PUBLISHED


def test_a_published_price_is_charged_to_the_micro_dollar_and_names_its_data() -> None:
    library = pytest.importorskip("genai_prices")
    price = Prices().of("gpt-4o", OPENAI, AT)
    expected = library.calc_price(
        library.Usage(input_tokens=1_001, output_tokens=7), "gpt-4o", provider_id="openai",
        genai_request_timestamp=AT,
    ).total_price  # fmt: skip
    assert 0 <= price.cost_micros(1_001, 7) - expected * 1_000_000 < 1
    assert price.cost_micros(1_001, 7) > 0
    assert price.version == f"genai-prices {library.__version__}: openai/gpt-4o"


@given(AMOUNTS, AMOUNTS, st.floats(min_value=0, max_value=1), st.floats(min_value=0, max_value=1))
def test_what_is_reserved_covers_every_call_with_no_more_tokens(
    prompt: int, answer: int, share: float, other: float
) -> None:
    pytest.importorskip("genai_prices")
    for model in ("gemini-2.5-pro", "gemini-2.5-flash"):  # the first has a step at 200,000 tokens
        price = Prices().of(model, GOOGLE, AT)
        assert price.source is Source.PUBLISHED
        assert price.cost_micros(int(prompt * share), int(answer * other)) <= price.most_micros(
            prompt, answer
        )


def test_a_cheaper_rate_for_long_prompts_does_not_lower_what_is_reserved() -> None:
    types = pytest.importorskip("genai_prices.types")
    from arms.prices.library import Published

    rate = types.TieredPrices(base=Decimal(10), tiers=[types.Tier(start=100, price=Decimal(1))])
    model = types.ModelInfo(
        id="m",
        match=types.ClauseEquals("m"),
        prices=types.ModelPrice(input_mtok=rate, output_mtok=Decimal(1)),
    )
    provider = types.Provider(id="p", name="P", api_pattern="p", models=[model])
    price = Price(Source.PUBLISHED, "v", published=Published(provider, model, AT, "v"))
    assert price.cost_micros(100, 0) == 1_000
    assert price.cost_micros(101, 0) == 101
    assert price.most_micros(101, 0) == 1_000


@pytest.mark.parametrize(
    ("model", "endpoint"), [("gpt-4o", FAR), ("no-such-model", OPENAI), ("gpt-4o", "")], ids=str
)
def test_a_model_without_a_known_price_is_never_guessed(model: str, endpoint: str) -> None:
    price = Prices().of(model, endpoint, AT)
    assert (price, price.cost_micros(10_000, 10_000), price.version) == (UNKNOWN, 0, "unknown")


@pytest.mark.parametrize(
    ("endpoint", "local"),
    [
        ("http://127.0.0.1:8080/v1", True), ("http://[::1]:1/v1", True), ("http://10.1.2.3/v1", True),
        ("http://localhost/v1", True), ("http://gpu-box:8000/v1", True), ("http://llm.svc.cluster.local/v1", True),
        (OPENAI, False), ("https://8.8.8.8/v1", False), ("http://localhost.example.com/v1", False), ("", False),
    ],
)  # fmt: skip
def test_an_endpoint_is_local_by_its_address(endpoint: str, local: bool) -> None:
    assert is_local(endpoint) is local
    assert (Prices().of("m", endpoint, AT) is FREE) is local


TOML = '[[prices]]\nmodel = "tiny"\ninput_dollars = 0.1\noutput_dollars = 0.3\nsince = 2020-01-01\n'


def shown(folder: Path, monkeypatch: pytest.MonkeyPatch, *arguments: str) -> tuple[list[dict[str, Any]], str]:
    monkeypatch.chdir(folder)
    result = CliRunner().invoke(
        build(), ["prices", "show", "--json", *arguments], env={"OCTOLOG_HOME": str(folder)}
    )
    assert result.exit_code == 0, result.output
    return json.loads(result.stdout), result.stderr


def test_prices_of_the_file_are_shown_exactly_and_reach_child_processes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "octolog.toml").write_text(TOML)
    (row,), said = shown(tmp_path, monkeypatch)
    assert (row["input_dollars_per_million"], row["output_dollars_per_million"]) == ("0.1", "0.3")
    assert (row["source"], row["price_version"], said) == ("own", "own:0.1/0.3 since 2020-01-01", "")
    settings = load_settings()
    assert type(settings).model_validate_json(settings.frozen_json()).prices == settings.prices


def test_prices_show_says_plainly_what_it_does_not_know(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (row,), said = shown(tmp_path, monkeypatch, "mystery", "--endpoint", FAR)
    assert (row["source"], row["input_dollars_per_million"]) == ("unknown", None)
    assert "no price known, charged zero: mystery" in said


@pytest.mark.parametrize(
    ("text", "said"),
    [(TOML + TOML, "two prices of tiny begin on 2020-01-01"), (TOML.replace("0.1", "-1"), "input_dollars")],
    ids=["twice", "negative"],
)
def test_a_wrong_price_is_refused_by_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, text: str, said: str
) -> None:
    (tmp_path / "octolog.toml").write_text(text)
    monkeypatch.chdir(tmp_path)
    with pytest.raises(SettingsError, match=said):
        load_settings()
