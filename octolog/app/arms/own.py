"""Arms of your own in a process of their own: found by `module:function`, or behind a URL, and hosted."""

from __future__ import annotations

import importlib
import logging
import sys
from collections.abc import Callable, Iterable, Sequence
from difflib import get_close_matches
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from octolog.app.blobs import open_blobs
from octolog.app.connection import Connection
from octolog.app.node.crash import redact_crashes
from octolog.domain.errors import NotFound, SettingsError
from streams.topics import ARMS

if TYPE_CHECKING:
    from types import ModuleType

    from arms.arm import Arm
    from octolog.app.settings import Settings

__all__ = ["files_of", "host", "load"]

_HINT: Final = (
    "write MODULE:FUNCTION, for instance my_arms:count; the module is looked for from this folder on"
)


def load(targets: Iterable[str]) -> list[Arm]:
    """The arms that targets name: `module:function`, `module:one,two`, or `module` for all it defines.

    Raises:
        SettingsError: A module cannot be imported, or a name is no arm; says what there is.
    """
    if str(Path.cwd()) not in sys.path:
        sys.path.insert(0, str(Path.cwd()))
    found: list[Arm] = []
    for target in targets:
        found += _of_target(target)
    for made in found:
        if made.signature is not None:
            made.signature.settle()
    ids = [made.arm_id for made in found]
    twice = sorted({arm_id for arm_id in ids if ids.count(arm_id) > 1})
    if twice:
        raise SettingsError(f"two arms have the id {twice[0]}; each needs its own")
    return found


def files_of(targets: Iterable[str]) -> list[Path]:
    """The source files of the targets' modules and of all modules beside them, for watching."""
    folders: set[Path] = set()
    for target in targets:
        module = sys.modules.get(target.partition(":")[0])
        if module is not None and module.__file__ is not None:
            folders.add(Path(module.__file__).parent)
    return sorted(path for folder in folders for path in folder.rglob("*.py"))


def host(
    settings: Settings,
    arms: Sequence[Arm],
    *,
    slot: str | None = None,
    web_port: int | None = None,
    threads: int = 32,
    ready: Callable[[dict[str, Any]], None] = lambda _: None,
) -> None:
    """Host arms in this process until SIGTERM or SIGINT.

    Args:
        settings: Which cluster, which model, what becomes of personal data.
        arms: Which.
        slot: Stable name of this process, so that its successor takes over at once; None: a new member.
        web_port: Port of the health view on 127.0.0.1; None: no view.
        threads: Threads for plain functions.
        ready: Told what is hosted and where, before the first assignment is taken.

    Raises:
        OctologError: It cannot start.
    """
    from arms.host import HostSettings, run_host
    from octolog.app.arms.host import model
    from octolog.safety import PiiMode

    redact_crashes()
    _log_to_stderr()
    with Connection(settings) as connection:
        if ARMS not in connection.admin().topics():
            where = connection.bootstrap_servers
            raise NotFound(
                f"{where} has no topics of octolog; `octolog up` or `octolog topics apply` makes them"
            )
        for made in arms:
            connection.ensure_assignment_topic(made.arm_id)
        told = HostSettings(
            bootstrap_servers=connection.bootstrap_servers,
            slot=slot,
            web_port=web_port,
            threads=threads,
            pii=PiiMode(settings.pii),
            kafka=settings.kafka,
        )
        publisher, codec = connection.publisher(background=True), connection.codec()
        ready(
            {
                "arms": [
                    {"arm_id": made.arm_id, "capabilities": list(made.capability.capabilities)}
                    for made in arms
                ],
                "bootstrap_servers": connection.bootstrap_servers,
                "instance_id": told.instance_id,
                "health_url": f"http://127.0.0.1:{web_port}/health/" if web_port else None,
            }
        )
        run_host(told, arms, publisher, codec, model=model(settings), blobs=open_blobs(settings))


def _log_to_stderr() -> None:
    from octolog.safety.logs import RedactingFormatter

    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(RedactingFormatter("%(asctime)s %(levelname)s %(name)s %(message)s"))
    logging.basicConfig(level=logging.WARNING, handlers=[handler])


def _of_target(target: str) -> list[Arm]:
    name, colon, attributes = target.partition(":")
    if not name or (colon and not attributes):
        raise SettingsError(f"{target[:80]!r} names no arm; {_HINT}")
    module = _module(name)
    there = _arms_of(module)
    if not attributes:
        if not there:
            raise SettingsError(f"{name} defines no arm; put @arm(...) over a function (arms.arm)")
        return list(there.values())
    return [_one(module, attribute.strip(), there) for attribute in attributes.split(",")]


def _module(name: str) -> ModuleType:
    if name.endswith(".py") or "/" in name:
        raise SettingsError(f"{name[:80]} is a file; {_HINT}")
    try:
        return importlib.import_module(name)
    except ModuleNotFoundError as error:
        if error.name is not None and (name == error.name or name.startswith(f"{error.name}.")):
            raise SettingsError(f"there is no module {error.name}; {_HINT}") from None
        raise SettingsError(f"{name} needs {error.name}, which is not installed here") from None
    except Exception as error:
        where = _place(error, name)
        raise SettingsError(f"{name} cannot be imported: {type(error).__name__}: {error}{where}") from error


def _place(error: Exception, name: str) -> str:
    """File and line at which the module broke, the innermost of its own."""
    if isinstance(error, SyntaxError):
        return ""  # its text says it
    trace, last = error.__traceback__, ""
    while trace is not None:
        file = trace.tb_frame.f_code.co_filename
        if not file.startswith("<") and "importlib" not in file and Path(file) != Path(__file__):
            last = f" ({Path(file).name}:{trace.tb_lineno})"
        trace = trace.tb_next
    return last or f" ({name})"


def _arms_of(module: ModuleType) -> dict[str, Arm]:
    from arms.arm import Arm

    own = {name: value for name, value in vars(module).items() if isinstance(value, Arm)}
    defined = {name: made for name, made in own.items() if _is_from(made, module)}
    return defined or own


def _is_from(made: Arm, module: ModuleType) -> bool:
    return getattr(made.function, "__module__", None) == module.__name__


def _one(module: ModuleType, name: str, there: dict[str, Arm]) -> Arm:
    from arms.arm import Arm

    value = getattr(module, name, None)
    if isinstance(value, Arm):
        return value
    by_id = next((made for made in there.values() if made.arm_id == name), None)
    if by_id is not None:
        return by_id
    known = ", ".join(sorted(there)) or "none"
    if value is None:
        close = get_close_matches(name, there, n=1)
        hint = f"did you mean {close[0]}?" if close else f"its arms: {known}"
        raise SettingsError(f"{module.__name__} has no {name!r}; {hint}")
    what = "a function without @arm(...) over it" if callable(value) else f"a {type(value).__name__}, no arm"
    raise SettingsError(f"{module.__name__}:{name} is {what}; its arms: {known}")
