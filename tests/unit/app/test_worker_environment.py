"""What a node hands its processes is no setting: a name that is both would be read as one, and refused."""

from __future__ import annotations

from octolog.app.processes import NODE_VARIABLE
from octolog.app.settings import Settings


def test_the_variable_that_carries_a_worker_s_settings_is_the_name_of_no_setting() -> None:
    prefix = str(Settings.model_config.get("env_prefix", ""))
    assert prefix == "OCTOLOG_"
    assert NODE_VARIABLE not in {f"{prefix}{name}".upper() for name in Settings.model_fields}
