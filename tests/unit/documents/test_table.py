"""Templates folded from the log: the first of a version counts, retired ones stay taken."""

from __future__ import annotations

from dataclasses import replace

import pytest

from octolog.domain.errors import NotFound
from octolog.domain.tasksystem import TaskType
from octolog.domain.templates.records import TemplateRegistered, TemplateRetired
from octolog.domain.templates.table import TemplateTable

ONE = TemplateRegistered("t", "1", "d", TaskType.ATOMIC, None, "a" * 64, "<task/>", "me")
TWO = replace(ONE, version="2", digest="b" * 64)
OTHER = replace(ONE, digest="c" * 64, registered_by="you")


def folded(*events: TemplateRegistered | TemplateRetired) -> TemplateTable:
    table = TemplateTable()
    for offset, event in enumerate(events):
        table.apply(event, offset, 1_000 + offset)
    return table


def test_the_first_record_of_a_version_counts_and_a_later_one_changes_nothing() -> None:
    kept = folded(ONE, OTHER).get("t", "1")
    assert kept is not None
    assert (kept.template, kept.offset, kept.at_ms) == (ONE, 0, 1_000)


def test_the_same_record_twice_is_one_version() -> None:
    assert len(folded(ONE, ONE).all()) == 1


def test_a_name_alone_means_the_version_registered_last() -> None:
    table = folded(TWO, ONE)
    assert table.find("t").label == "t@1"
    assert table.find("t@2").template is TWO
    assert table.usable() == [ONE]


def test_a_retired_version_is_found_by_its_number_alone_and_is_not_matched() -> None:
    table = folded(ONE, TWO, TemplateRetired("t", "2", "wrong", "me"))
    assert table.find("t").label == "t@1"
    assert table.find("t@2").retired == "wrong"
    assert table.usable() == [ONE]


def test_a_retired_version_stays_taken() -> None:
    kept = folded(ONE, TemplateRetired("t", "1", "wrong", "me"), OTHER).get("t", "1")
    assert kept is not None
    assert (kept.template, kept.retired) == (ONE, "wrong")


def test_retiring_what_is_not_there_says_nothing() -> None:
    table = folded(TemplateRetired("t", "1", "wrong", "me"), ONE)
    assert table.find("t").retired is None


@pytest.mark.parametrize("label", ["x", "t@3", "t@", "@1", ""])
def test_what_is_not_there_is_not_found(label: str) -> None:
    with pytest.raises(NotFound, match="octolog template list"):
        folded(ONE).find(label)


def test_when_all_versions_are_retired_the_name_alone_finds_none() -> None:
    with pytest.raises(NotFound):
        folded(ONE, TemplateRetired("t", "1", "", "me")).find("t")
