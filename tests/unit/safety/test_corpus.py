"""The detectors on the labelled corpus: recall, false positives, and that a redaction leaves no value standing."""

from __future__ import annotations

from importlib.util import module_from_spec, spec_from_file_location

import pytest

from octolog.safety import Style, redact
from tests.unit.safety.corpus import FOLDER, load, score


def test_the_corpus_has_three_hundred_texts_on_each_side_and_every_kind_that_is_structured() -> None:
    positives, negatives = list(load("positive")), list(load("negative"))
    assert len(positives) >= 300
    assert len(negatives) >= 300
    assert len({sample.text for sample in positives}) == len(positives)
    assert len({sample.text for sample in negatives}) == len(negatives)
    kinds = {kind for sample in positives for kind, _ in sample.expected}
    assert {
        "email",
        "phone",
        "ssn",
        "card",
        "iban",
        "ipv4",
        "ipv6",
        "passport",
        "date_of_birth",
        "jwt",
    } <= kinds


def test_at_least_99_percent_of_structured_values_are_found_whole_and_named_rightly(
    capsys: pytest.CaptureFixture[str],
) -> None:
    result = score()
    with capsys.disabled():
        print(f"\ncorpus: recall {result.recall:.4f}, false positives {result.false_positives:.4f}")  # noqa: T201
    assert result.recall >= 0.99, result.missed


def test_every_kind_is_found_in_at_least_95_percent_of_its_texts() -> None:
    result = score()
    poor = {kind: result.found[kind] / count for kind, count in result.values.items()}
    assert {kind: share for kind, share in poor.items() if share < 0.95} == {}, result.missed


def test_at_most_2_percent_of_harmless_texts_raise_an_alarm() -> None:
    result = score()
    assert result.false_positives <= 0.02, result.alarms


def test_no_style_leaves_a_value_of_the_corpus_standing() -> None:
    for style in Style:
        standing = [
            sample.name
            for sample in load("positive")
            for _, value in sample.expected
            if value in redact(sample.text, style).text
        ]
        assert standing == [], style


def test_redacting_the_corpus_twice_changes_nothing_more() -> None:
    for style in Style:
        for sample in load("positive"):
            once = redact(sample.text, style).text
            assert redact(once, style).text == once, (style, sample.name)


def test_the_generated_half_is_what_its_generator_writes() -> None:
    spec = spec_from_file_location("make_generated", FOLDER / "make_generated.py")
    assert spec is not None
    assert spec.loader is not None
    module = module_from_spec(spec)
    spec.loader.exec_module(module)
    assert len(list(module.positives())) == sum(
        s.name.startswith("positive_generated") for s in load("positive")
    )
    assert len(list(module.negatives())) == sum(
        s.name.startswith("negative_generated") for s in load("negative")
    )
