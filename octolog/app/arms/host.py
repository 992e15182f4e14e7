"""The arms' process of a node: the built-in arms by name, hosted on Faust."""

from __future__ import annotations

import os
import threading
import time
from typing import TYPE_CHECKING, Final

from octolog.app.arms.equipment import equipment
from octolog.app.blobs import open_blobs
from octolog.app.connection import Connection
from octolog.app.node.identity import slot
from octolog.app.processes import StateFile
from octolog.app.settings import Settings
from octolog.domain.errors import SettingsError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from arms.arm import Arm
    from arms.model import Model

_REPORT_S: Final = 0.5


def run_arms(settings: Settings, name: str, state: StateFile) -> None:
    """Host the configured arms until SIGTERM."""
    from arms.builtin.equipment import equipped
    from arms.host import HostSettings, run_host
    from octolog.safety import PiiMode

    asked = model(settings)
    given = equipment(settings, model=asked is not None)
    arms = [equipped(arm, given) for arm in chosen(settings.arms)]
    with Connection(settings) as connection:
        host = HostSettings(
            bootstrap_servers=connection.bootstrap_servers,
            slot=f"octolog-{slot(settings, name)}",
            pii=PiiMode(settings.pii),
            tokens_required=settings.tokens == "required",
            token_keys=frozenset(filter(None, map(str.strip, settings.token_keys.split(",")))),
            kafka=settings.kafka,
        )
        publisher = connection.publisher(background=True)
        for arm in arms:
            connection.ensure_assignment_topic(arm.arm_id)
        registered = threading.Event()
        threading.Thread(target=_report, args=(state, arms, registered), daemon=True).start()
        codec, blobs = connection.codec(), open_blobs(settings)
        run_host(host, arms, publisher, codec, model=asked, blobs=blobs, on_registered=registered.set)


def model(settings: Settings) -> Model | None:
    """The model that arms may ask; None when no endpoint is set."""
    from arms.model import model_from

    key = (
        settings.llm_api_key.get_secret_value()
        if settings.llm_api_key
        else os.environ.get("OCTOLOG_LLM_API_KEY")
    )
    return model_from(settings.llm_base_url, settings.llm_model, key, settings.prices)


def chosen(names: str) -> Sequence[Arm]:
    """The built-in arms of a comma-separated list of groups.

    Raises:
        SettingsError: For a name that is no group; lists those that are.
    """
    from arms.builtin import GROUPS

    found: list[Arm] = []
    for name in filter(None, map(str.strip, names.split(","))):
        if name not in GROUPS:
            raise SettingsError(f"no arms named {name!r}; there are: {', '.join(sorted(GROUPS))}")
        found.extend(GROUPS[name])
    return found


def _report(state: StateFile, arms: Sequence[Arm], registered: threading.Event) -> None:
    """Ready is who can be given work: before, a node that says so would list no arm."""
    ids = ", ".join(arm.arm_id for arm in arms)
    registered.wait()
    while True:
        state.write(state="ready", kind="arms", detail=ids)
        time.sleep(_REPORT_S)
