"""What is refused, and where it says the fault stands. Hostile documents explode nowhere."""

from __future__ import annotations

import io
import pickle
from pathlib import Path
from typing import Final

import pytest
from hypothesis import given
from hypothesis import strategies as st

from octolog.domain.errors import InvalidContract
from octolog.domain.templates.errors import DocumentRefused
from octolog.domain.values import TaskErrorType
from octolog.edge import MAX_DOCUMENT_BYTES as EDGE_BYTES
from octolog.edge import read_bounded
from schemas.xml import KNOWN_MODELS, MAX_DOCUMENT_BYTES, judge, read_document, read_program
from tests.unit.documents.hostile import FULL, NAMES, no_explosion

INVALID: Final = Path(__file__).parents[2] / "data" / "xml" / "invalid"
PARSE: Final = TaskErrorType.XML_PARSE_ERROR
VALIDATION: Final = TaskErrorType.VALIDATION_ERROR

REFUSED: Final = {
    "missing-system": (VALIDATION, "/task/model", "expected is system"),
    "wrong-order": (VALIDATION, "/task/system", "expected is instructions"),
    "duplicate-input": (VALIDATION, "/task/inputs/input[2]", "name of another input"),
    "boolean-yes": (VALIDATION, "/task/manual_xml", "yes"),
    "boolean-1": (VALIDATION, "/task/manual_xml", "true|false"),
    "empty-inputs": (VALIDATION, "/task/inputs", "input"),
    "unnamed-input": (VALIDATION, "/task/inputs/input", "name"),
    "unknown-type": (VALIDATION, "/task/@type", "script"),
    "nested-subtask-in-reduce": (VALIDATION, "/task/inner_task/task/@subtype", "inherits nothing"),
    "subtask-sequential": (VALIDATION, "/task/@subtype", "sequential"),
    "two-modes": (VALIDATION, "/task/context_management", "exclude each other"),
    "fresh-inherits": (VALIDATION, "/task/context_management/fresh_context", "write inherit_context none"),
    "subset": (VALIDATION, "/task/context_management/inherit_context", "is not offered"),
    "no-steps": (VALIDATION, "/task", "needs steps"),
    "duplicate-step": (VALIDATION, "/task/steps/task[2]", "name of another task"),
    "nested-template": (VALIDATION, "/task/steps/task", "needs a type"),
    "reduce-without-reduction": (VALIDATION, "/task", "reduction_task"),
    "reserved-name": (VALIDATION, "/task/steps/task/@name", "gives itself"),
    "two-sources": (VALIDATION, "/task/inputs/input", "more than one source"),
    "unknown-model": (VALIDATION, "/task/model", "no known model"),
    "policy-on-sequence": (VALIDATION, "/task/@on_failure", "does not belong"),
    "other-root": (VALIDATION, "/job", "begins with the element task"),
    "unclosed": (PARSE, "2:1", "instructions|task|[Pp]remature|end"),
    "bomb": (PARSE, "2:", "DOCTYPE"),
    "external-entity": (PARSE, "1:", "DOCTYPE"),
    "external-dtd": (PARSE, "1:", "DOCTYPE"),
    "namespace": (PARSE, "1:", "namespace"),
}


def refusal(document: bytes | str) -> DocumentRefused:
    with no_explosion(), pytest.raises(DocumentRefused) as refused:
        read_document(document, KNOWN_MODELS)
    assert "\n" not in str(refused.value)
    return refused.value


def test_every_invalid_document_is_here_with_its_reason() -> None:
    assert {path.stem for path in INVALID.glob("*.xml")} == set(REFUSED)


@pytest.mark.parametrize("name", REFUSED)
def test_an_invalid_document_is_refused_with_kind_place_and_reason(name: str) -> None:
    kind, place, reason = REFUSED[name]
    error = refusal((INVALID / f"{name}.xml").read_bytes()).error
    found = error.location if kind is PARSE else error.path
    assert error.type is kind
    assert found is not None
    assert found.startswith(place) if kind is PARSE else found == place
    assert any(word in error.message for word in reason.split("|")), error.message


def test_nesting_of_ten_thousand_is_refused_where_it_goes_too_deep() -> None:
    error = refusal(b"<task>\n" * 10_000 + b"</task>" * 10_000).error
    assert (error.type, error.location) == (PARSE, "129:6")


def test_programs_nested_too_deep_for_operators_but_not_for_xml_are_refused_with_their_path() -> None:
    one = '<task type="sequential"><description/><steps>'
    leaf = '<task type="atomic"><description/></task>'
    deep = one * 32 + leaf + "</steps></task>" * 32
    error = refusal(deep).error
    assert (error.type, error.message) == (VALIDATION, "nests deeper than 32 tasks")
    assert len(read_program(one * 31 + leaf + "</steps></task>" * 31)) == 32


def test_a_hundred_megabytes_are_refused_without_being_read() -> None:
    class Endless(io.RawIOBase):
        taken = 0

        def read(self, size: int = -1) -> bytes:
            assert size >= 0, "read to its end"
            self.taken += size
            return b"x" * size

    source = Endless()
    with pytest.raises(InvalidContract, match="TOO_LARGE"):
        read_bounded(source, "document")  # type: ignore[arg-type]  # only `read` is asked for
    assert source.taken <= EDGE_BYTES + 1
    assert EDGE_BYTES == MAX_DOCUMENT_BYTES


def test_a_hundred_megabytes_in_memory_are_refused_unparsed() -> None:
    error = refusal(b"<task>" + b"x" * 100_000_000).error
    assert error.type is PARSE
    assert str(MAX_DOCUMENT_BYTES) in error.message


@pytest.mark.parametrize("name", FULL)
def test_a_document_full_to_its_bound_is_refused_without_an_explosion(name: str) -> None:
    assert len(FULL[name]) <= MAX_DOCUMENT_BYTES
    assert refusal(FULL[name]).error.type in {PARSE, VALIDATION}


def test_a_document_full_of_names_is_judged_without_an_explosion() -> None:
    assert len(NAMES) <= MAX_DOCUMENT_BYTES
    with no_explosion():
        found = judge(NAMES, KNOWN_MODELS)
    assert found.valid
    assert len(found.warnings) == 20, "as many as anybody reads"


def test_entities_in_attributes_and_in_parameters_are_refused_like_those_in_texts() -> None:
    declared = "".join(f'<!ENTITY e{n} "{f"&e{n - 1};" * 10 if n else "x" * 10}">' for n in range(12))
    for document in (
        f'<!DOCTYPE t [{declared}]><task name="&e11;"/>',
        '<!DOCTYPE t [<!ENTITY % p SYSTEM "file:///etc/passwd"> %p;]><task/>',
        '<!DOCTYPE t [<!ATTLIST task name CDATA "&e0;">]><task/>',
        '<!DOCTYPE task PUBLIC "-//X//DTD X//EN" "http://127.0.0.1:9/x.dtd"><task/>',
    ):
        assert "DOCTYPE" in refusal(document).error.message


def test_a_foreign_encoding_is_refused_with_the_byte_that_is_no_utf8() -> None:
    error = refusal('<?xml version="1.0" encoding="ISO-8859-1"?>\n<task>é</task>'.encode("latin-1")).error
    assert (error.type, error.location) == (PARSE, "2:7")


def test_another_encoding_of_a_document_type_does_not_get_past() -> None:
    assert refusal('<?xml version="1.0"?><!DOCTYPE task><task/>'.encode("utf-16")).error.type is PARSE


def test_a_template_that_no_task_could_hold_is_refused_before_it_is_registered() -> None:
    error = refusal(
        f"<task><instructions>{'x' * 262_145}</instructions><system/><model>gpt-4</model></task>"
    ).error
    assert (error.type, error.path) == (VALIDATION, "/task/instructions")


def test_a_schema_location_is_never_followed() -> None:
    xsi = 'xmlns:xsi="http://www.w3.org/2001/XMLSchema-instance"'
    error = refusal(f'<task {xsi} xsi:noNamespaceSchemaLocation="/etc/hostname"/>').error
    assert "namespace" in error.message


def test_an_include_is_no_include() -> None:
    found = refusal(
        '<task><xi:include xmlns:xi="http://www.w3.org/2001/XInclude" href="/etc/hostname"/></task>'
    )
    assert "namespace" in found.error.message


def test_comments_and_processing_instructions_say_nothing() -> None:
    plain = "<task><instructions>ab</instructions><system/><model>gpt-4</model></task>"
    noisy = plain.replace("<task>", "<?go?><task><!-- x -->").replace("ab", "a<!-- <b> -->b<?y z?>")
    assert read_document(noisy) == read_document(plain)


def test_a_refusal_keeps_its_error_when_it_is_pickled() -> None:
    error = refusal("<task><system/></task>")
    assert error.faults
    again = pickle.loads(pickle.dumps(error))
    assert (again.error, again.faults, str(again)) == (error.error, error.faults, str(error))


@given(st.one_of(st.binary(max_size=200), st.text(max_size=200)))
def test_noise_is_refused_and_nothing_else_happens(noise: bytes | str) -> None:
    assert not judge(noise, KNOWN_MODELS).valid


@given(st.sampled_from(sorted((INVALID.parent / "valid").glob("*.xml"))), st.data())
def test_a_document_with_a_piece_cut_out_is_judged_and_never_breaks_the_reader(
    path: Path, data: st.DataObject
) -> None:
    text = path.read_text(encoding="utf-8")
    start = data.draw(st.integers(0, len(text)))
    end = data.draw(st.integers(start, min(len(text), start + 80)))
    found = judge(text[:start] + text[end:], KNOWN_MODELS)
    assert found.valid == (found.document is not None)
