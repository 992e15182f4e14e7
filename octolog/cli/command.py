"""What every command shares: its common options, its settings, and how it ends."""

from __future__ import annotations

import inspect
import os
import sys
import traceback
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import wraps
from pathlib import Path
from typing import (
    TYPE_CHECKING,
    Annotated,
    Any,
    Concatenate,
    Final,
    NoReturn,
    ParamSpec,
    cast,
    get_type_hints,
)

import typer

from octolog.cli import INTERRUPTED
from octolog.cli.output import error_document, one_line, print_json, print_text, warn
from octolog.domain.errors import OctologError

if TYPE_CHECKING:
    from octolog.app.settings import Settings

P = ParamSpec("P")

REFUSED: Final = 1
BROKEN_PIPE: Final = 141
"""128 + SIGPIPE: the reader of our output went away, e.g. `| head`."""

_COMMON: Final = "Common options"
_SHARED: Final[dict[str, tuple[Any, Any]]] = {
    "as_json": (
        Annotated[
            bool,
            typer.Option("--json", help="One JSON document on stdout.", rich_help_panel=_COMMON),
        ],
        False,
    ),
    "home": (
        Annotated[
            Path | None,
            typer.Option(metavar="DIR", help="Folder of the node's data.", rich_help_panel=_COMMON),
        ],
        None,
    ),
    "bootstrap_servers": (
        Annotated[
            str | None,
            typer.Option(metavar="HOST:PORT", help="Kafka to use.", rich_help_panel=_COMMON),
        ],
        None,
    ),
}


@dataclass(frozen=True, slots=True)
class Call:
    """One run of a command.

    Attributes:
        as_json: True when the answer is one JSON document.
        flags: Settings given on the command line; None where not given.
    """

    as_json: bool
    flags: dict[str, Any] = field(default_factory=dict)

    def settings(self, **more: Any) -> Settings:
        """The settings of this call: these flags first.

        Raises:
            SettingsError: When they cannot work.
        """
        from octolog.app.settings import load_settings

        return load_settings(**self.flags, **more)

    def show(self, document: object, text: Callable[[], object]) -> None:
        """Print the answer: the document, or what `text` makes of it for people."""
        if self.as_json:
            print_json(document)
        else:
            print_text(text())

    def fail(self, document: object, reason: str, text: Callable[[], object] | None = None) -> NoReturn:
        """End with code 1, the answer on stdout and the reason on stderr."""
        if self.as_json or text is not None:
            self.show(document, text or (lambda: ""))
        warn(reason)
        raise typer.Exit(REFUSED)


def command(
    app: typer.Typer, name: str | None = None
) -> Callable[[Callable[Concatenate[Call, P], None]], Callable[Concatenate[Call, P], None]]:
    """Register a command; its function gets a `Call`, and its options the common ones besides."""

    def register(function: Callable[Concatenate[Call, P], None]) -> Callable[Concatenate[Call, P], None]:
        app.command(name)(_shared(function))
        return function

    return register


def _shared(function: Callable[..., None]) -> Callable[..., None]:
    @wraps(function)
    def run(**options: Any) -> None:
        as_json = options.pop("as_json")
        flags = {name: options.pop(name) for name in _SHARED if name != "as_json"}
        call = Call(as_json, flags)
        guarded(call, lambda: function(call, **options))

    hints = get_type_hints(function, include_extras=True)
    own = list(inspect.signature(function).parameters.values())[1:]
    parameters = [parameter.replace(annotation=hints[parameter.name]) for parameter in own]
    parameters += [
        inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, default=default, annotation=annotation)
        for name, (annotation, default) in _SHARED.items()
    ]
    cast("Any", run).__signature__ = inspect.Signature(parameters)  # what typer reads
    run.__annotations__ = {parameter.name: parameter.annotation for parameter in parameters}
    del run.__wrapped__  # or typer looks through to the bare function
    return run


def guarded(call: Call, work: Callable[[], None]) -> None:
    """Run a command so that whatever goes wrong ends in one line and the right exit code."""
    try:
        work()
        sys.stdout.flush()
    except OctologError as error:
        if call.as_json:
            print_json(error_document(error))
        warn(one_line(str(error)) or type(error).__name__)
        raise typer.Exit(REFUSED) from None
    except KeyboardInterrupt:
        raise typer.Exit(INTERRUPTED) from None
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # the interpreter flushes once more
        raise typer.Exit(BROKEN_PIPE) from None
    except (typer.Exit, typer.Abort, typer.BadParameter):
        raise
    except Exception as error:  # noqa: BLE001 -- no traceback reaches a user; it goes to the log file
        _unexpected(call, error)


def _unexpected(call: Call, error: Exception) -> NoReturn:
    if os.environ.get("OCTOLOG_DEBUG") == "1":
        traceback.print_exc()
    told = one_line(f"{type(error).__name__}: {error}")
    where = _logged(call)
    if call.as_json:
        print_json({"error": {"kind": type(error).__name__, "message": told, "retryable": False}})
    hint = f"see {where}" if where else "set OCTOLOG_DEBUG=1 to see where"
    warn(f"unexpected {told}; {hint}" + (" or set OCTOLOG_DEBUG=1" if where else ""))
    raise typer.Exit(REFUSED)


def _logged(call: Call) -> Path | None:
    """Append the traceback to the log of the command line; None when there is no such place."""
    from octolog.safety import redact

    try:
        path = call.settings().log_dir / "cli.log"
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.open("a", encoding="utf-8") as log:
            told = redact(f"{sys.argv[1:]}\n{traceback.format_exc()}").text
            log.write(f"{datetime.now(UTC).isoformat()} {told}\n")
    except (OSError, OctologError):
        return None
    return path
