"""What a task returns: data usage is always there, in either form."""

from __future__ import annotations

from typing import Any

import pytest

from octolog.domain.tasksystem import RevisedTaskResult, TaskResult
from octolog.domain.templates.spec import downcast, task_result_of, upcast
from octolog.domain.values import TaskError


def test_41_a_result_with_notes_as_a_text_is_upcast_and_has_data_usage() -> None:
    assert upcast(RevisedTaskResult("answer", "read two files")) == TaskResult("answer", "read two files")
    assert task_result_of({"content": "answer", "notes": "read two files"}) == TaskResult(
        "answer", "read two files"
    )


@pytest.mark.parametrize(
    "output",
    [
        {"content": "a", "notes": {}},
        {"content": "a", "notes": {"dataUsage": 1}},
        {"content": "a"},
        {"content": "a", "notes": None},
        {"content": 1, "notes": "n"},
        {"notes": {"dataUsage": "d"}},
        {},
    ],
)
def test_41_a_result_without_data_usage_is_an_invalid_output_that_says_what_is_missing(
    output: dict[str, Any],
) -> None:
    error = task_result_of(output)
    assert isinstance(error, TaskError)
    assert error.type == "INVALID_OUTPUT"
    assert error.violations
    assert all(violation in error.message for violation in error.violations)


def test_other_notes_are_kept_beside_the_data_usage() -> None:
    found = task_result_of({"content": "a", "notes": {"dataUsage": "d", "b": [1], "a": "ü"}})
    assert found == TaskResult("a", "d", '{"a":"ü","b":[1]}')


def test_in_two_strings_nothing_is_lost() -> None:
    assert downcast(TaskResult("a", "d", '{"b":1}')) == RevisedTaskResult("a", 'd\n{"b":1}')
    assert upcast(downcast(TaskResult("a", "d"))) == TaskResult("a", "d")
