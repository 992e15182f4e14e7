"""Verdicts as seed B words them: what each flag means, and what only warns."""

from __future__ import annotations

import json

from schemas.xml import KNOWN_MODELS, judge, known_models, read_output

TEMPLATE = "<task><instructions>{{a}}</instructions><system/><model>%s</model>%s</task>"


def flags(document: str) -> tuple[bool, bool, bool]:
    found = judge(document, KNOWN_MODELS).template
    return found.template_valid, found.model_valid, found.inputs_valid


def template(model: str = "gpt-4", rest: str = "") -> str:
    return TEMPLATE % (model, rest)


def test_31_a_truth_value_of_1_breaks_the_schema() -> None:
    found = judge(template(rest="<manual_xml>1</manual_xml>"), KNOWN_MODELS)
    assert (found.xml.xml_valid, found.xml.schema_valid) == (True, False)
    assert flags(template(rest="<manual_xml>1</manual_xml>")) == (False, True, True)


def test_31_a_doubled_input_is_a_validation_error_with_its_path() -> None:
    document = template(rest='<inputs><input name="a">1</input><input name="a">2</input></inputs>')
    (error,) = judge(document, KNOWN_MODELS).errors
    assert (error.type, error.path) == ("VALIDATION_ERROR", "/task/inputs/input[2]")
    assert flags(document) == (True, True, False)


def test_31_an_unknown_model_leaves_everything_else_valid() -> None:
    found = judge(template("no-such-model"), KNOWN_MODELS)
    (error,) = found.errors
    assert (error.type, error.invalid_model, error.path) == ("VALIDATION_ERROR", True, "/task/model")
    assert flags(template("no-such-model")) == (True, False, True)
    assert (found.xml.xml_valid, found.xml.schema_valid) == (True, True)


def test_31_an_unclosed_tag_is_a_parse_error_with_line_and_column() -> None:
    found = judge("<task>\n<instructions>Do it</task>", KNOWN_MODELS)
    (error,) = found.errors
    assert error.type == "XML_PARSE_ERROR"
    assert error.location is not None
    line, column = error.location.split(":")
    assert int(line) == 2
    assert int(column) > 1
    assert (found.xml.xml_valid, found.xml.schema_valid, found.xml.parsed_content_json) == (
        False,
        False,
        None,
    )


def test_32_an_input_without_a_text_is_valid_with_one_warning() -> None:
    found = judge(template(rest='<inputs><input name="a"/></inputs>'), KNOWN_MODELS)
    assert found.valid
    assert found.template.result.valid
    assert len(found.warnings) == 1
    assert "'a'" in found.warnings[0]
    assert found.template.result.errors == ()


def test_44_a_subtask_must_be_atomic() -> None:
    found = judge(
        '<task type="sequential" subtype="subtask"><description/><steps>'
        '<task type="atomic"><description/></task></steps></task>'
    )
    (error,) = found.errors
    assert (error.type, error.path) == ("VALIDATION_ERROR", "/task/@subtype")


def test_a_valid_document_is_valid_in_every_flag_and_its_content_is_there() -> None:
    document = template(rest='<inputs><input name="a">1</input></inputs>')
    found = judge(document, KNOWN_MODELS)
    assert flags(document) == (True, True, True)
    assert found.template.result.warnings == ()
    assert found.xml.parsed_content_json is not None
    parsed = json.loads(found.xml.parsed_content_json)
    assert [child["type"] for child in parsed["children"]] == ["instructions", "system", "model", "inputs"]


def test_every_fault_that_the_schema_finds_is_told_the_first_one_first() -> None:
    found = judge(
        '<task type="atomic" priority="11"><description/><output_format type="xml"/><budget max_tokens="0"/></task>'
    )
    assert [error.path for error in found.errors] == [
        "/task/@priority",
        "/task/output_format/@type",
        "/task/budget/@max_tokens",
    ]
    assert found.template.result.location == "/task/@priority"
    assert len(found.template.result.errors) == 3


def test_a_fault_and_an_unknown_model_are_both_told() -> None:
    found = judge(template("nobody", "<manual_xml>no</manual_xml>"), KNOWN_MODELS)
    assert [error.path for error in found.errors] == ["/task/manual_xml", "/task/model"]
    assert flags(template("nobody", "<manual_xml>no</manual_xml>")) == (False, False, True)


def test_an_element_in_the_wrong_place_is_a_fault_of_the_structure_whatever_it_is() -> None:
    document = "<task><instructions/><model>gpt-4</model><system/></task>"
    assert flags(document) == (False, True, True)


def test_a_site_adds_models_of_its_own() -> None:
    document = template("house-model")
    assert judge(document, known_models(["house-model", " "])).valid
    assert not judge(document, known_models()).valid
    assert judge(document).valid, "without a list, any name will do"


def test_the_models_of_every_task_in_a_tree_are_looked_at() -> None:
    found = judge(
        '<task type="sequential"><description/><steps><task type="atomic"><description/><model>x</model></task>'
        '<task type="atomic"><description/><model>y</model></task></steps></task>',
        KNOWN_MODELS,
    )
    assert [error.path for error in found.errors] == [
        "/task/steps/task[1]/model",
        "/task/steps/task[2]/model",
    ]


def test_an_answer_that_is_no_xml_is_a_text_without_a_word() -> None:
    found = read_output('{"a": 1}')
    assert (found.content, found.tree, found.warnings) == ('{"a": 1}', None, ())


def test_an_answer_in_xml_is_read() -> None:
    found = read_output(" <answer><part>1</part></answer>\n")
    assert found.tree is not None
    assert [child.content for child in found.tree.children] == ["1"]
    assert found.content == " <answer><part>1</part></answer>\n"


def test_an_answer_in_broken_xml_stays_as_it_is_with_a_warning() -> None:
    for answer in ("<answer><part></answer>", "<!DOCTYPE x [<!ENTITY a 'b'>]><x>&a;</x>", "<" * 3_000_000):
        found = read_output(answer)
        assert (found.content, found.tree) == (answer, None)
        assert len(found.warnings) == 1
        assert found.warnings[0].startswith("XML_PARSE_ERROR: ")


OF_EVERY_KIND = """<task type="map" priority="11">
  <description/>
  <inputs><input name="code"/></inputs>
  <steps>
    <task type="atomic" name="one"><description/><system/></task>
    <task type="sequential" subtype="subtask" name="one"><description/></task>
    <task type="atomic" name="recovery-1"><description/><model>nobody</model><budget max_tokens="0"/></task>
  </steps>
</task>"""


def test_what_the_schema_the_rules_and_the_models_have_against_a_document_is_told_in_one_go() -> None:
    found = judge(OF_EVERY_KIND, KNOWN_MODELS)
    assert [(fault.line, fault.column, fault.error.path) for fault in found.faults] == [
        (1, 1, "/task/@priority"),
        (7, 78, "/task/steps/task[3]/budget/@max_tokens"),
        (6, 5, "/task/steps/task[2]"),
        (6, 5, "/task/steps/task[2]/@subtype"),
        (6, 5, "/task/steps/task[2]"),
        (7, 5, "/task/steps/task[3]/@name"),
        (7, 57, "/task/steps/task[3]/model"),
    ]
    told = [str(fault) for fault in found.faults]
    assert "6:5: VALIDATION_ERROR: /task/steps/task[2]: a sequential task needs steps, at least one" in told
    assert told[-1].startswith(
        "7:57: VALIDATION_ERROR: /task/steps/task[3]/model: 'nobody' is no known model"
    )
    assert [warning for warning in found.warnings if "'code'" in warning], "warnings stand apart"
    assert not [warning for warning in found.warnings if "VALIDATION" in warning]


def test_a_place_is_told_in_characters_and_lines_as_they_stand_in_the_text() -> None:
    found = judge('<?xml version="1.0"?>\n<!-- é -->\n<task><!-- é --><system/></task>'.encode())
    assert (found.faults[0].line, found.faults[0].column) == (3, 17)


def test_no_more_is_told_of_one_document_than_anybody_reads() -> None:
    step = '<task type="atomic" name="same" subtype="x" arm="?"><description/><model>nobody</model></task>'
    document = f'<task type="map"><description/><steps>{step * 5_000}</steps></task>'
    found = judge(document, KNOWN_MODELS)
    assert 20 <= len(found.faults) <= 60
    assert len({error.path for error in found.errors}) > 20


def test_what_the_schema_has_told_is_not_told_again() -> None:
    for document in (
        "<task><instructions/><model>gpt-4</model><system/></task>",
        "<task type='atomic'><description/><manual_xml>1</manual_xml></task>",
        "<task><instructions/><system/></task>",
        "<job/>",
        "<task type='map'><description/><steps/></task>",
        "<task type='script'><description/></task>",
    ):
        assert len(judge(document, KNOWN_MODELS).faults) == 1, document
