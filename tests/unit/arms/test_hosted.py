"""Which arms a host takes."""

from __future__ import annotations

import logging

import pytest

from arms.builtin import BUILTIN, GROUPS
from arms.host.worker import _without_model
from octolog.domain.errors import SettingsError


def test_an_arm_that_needs_a_model_is_left_out_where_none_is_set_and_it_is_said(
    caplog: pytest.LogCaptureFixture,
) -> None:
    with caplog.at_level(logging.WARNING):
        kept = _without_model([BUILTIN["noop"], BUILTIN["template"]])
    assert kept == [BUILTIN["noop"]]
    assert "arm template is not hosted: it needs a model; set OCTOLOG_LLM_BASE_URL" in caplog.text


def test_a_host_with_nothing_left_to_do_does_not_start() -> None:
    with pytest.raises(SettingsError, match="OCTOLOG_LLM_MODEL"):
        _without_model(GROUPS["template"])
