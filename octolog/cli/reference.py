"""The reference page of the command line, made from the commands themselves.

`python -m octolog.cli.reference` prints it; a test compares it with `docs/reference/cli.md`.
"""

from __future__ import annotations

import enum
import inspect
import sys
from collections.abc import Callable, Iterator
from typing import Any, Final, get_args

import typer
from typer.models import ArgumentInfo, OptionInfo

_INTRODUCTION: Final = """\
# Command line

Made by `python -m octolog.cli.reference`; a test keeps it equal to the commands.

Every command takes the common options. With `--json` it prints one JSON document on stdout; progress and logs go to
stderr. A failed request prints its result too where there is one, else `{"error": {...}}` with `kind`, `message`,
`retryable`, and for a refused contract `code` and `field`.

| exit code | means |
|---|---|
| 0 | done |
| 1 | refused or failed; one line on stderr says why |
| 2 | wrong usage |
| 130 | ended by Ctrl-C |
| 141 | the reader of the output went away |

`OCTOLOG_DEBUG=1` shows the traceback of an unexpected error, which otherwise goes to `logs/cli.log` in the node's home.

## Common options

"""
_COMMON: Final = frozenset({"as_json", "home", "bootstrap_servers"})


def reference() -> str:
    """The page."""
    from octolog.cli.application import build

    commands = list(_commands(build(), "octolog"))
    common = [parameter for parameter in _parameters(commands[0][1]) if parameter.name in _COMMON]
    return "\n".join([_INTRODUCTION + _options(common), *(_section(name, found) for name, found in commands)])


def _commands(app: typer.Typer, name: str) -> Iterator[tuple[str, Callable[..., Any]]]:
    for found in app.registered_commands:
        if found.callback is not None:
            yield f"{name} {found.name or found.callback.__name__}", found.callback
    for group in app.registered_groups:
        if group.typer_instance is not None:
            yield from _commands(group.typer_instance, f"{name} {group.name}")


def _parameters(function: Callable[..., Any]) -> list[inspect.Parameter]:
    return list(inspect.signature(function).parameters.values())


def _section(name: str, function: Callable[..., Any]) -> str:
    own = [parameter for parameter in _parameters(function) if parameter.name not in _COMMON]
    arguments = [p for p in own if isinstance(_info(p), ArgumentInfo)]
    options = [p for p in own if isinstance(_info(p), OptionInfo)]
    usage = " ".join([name, *map(_argument, arguments), *(["[OPTIONS]"] if options else [])])
    text = f"## {name}\n\n    {usage}\n\n{inspect.getdoc(function)}\n"
    return f"{text}\n{_options(options)}" if options else text


def _argument(parameter: inspect.Parameter) -> str:
    name = _info(parameter).metavar or parameter.name.upper()
    optional = parameter.default is not inspect.Parameter.empty
    return f"[{name}]" if optional and not name.startswith("[") else name


def _options(options: list[inspect.Parameter]) -> str:
    return "| option | means |\n|---|---|\n" + "".join(map(_option, options))


def _option(parameter: inspect.Parameter) -> str:
    info, default = _info(parameter), parameter.default
    flag = isinstance(default, bool)
    long = f"--{parameter.name.replace('_', '-')}"
    first = (info.default,) if isinstance(info.default, str) else ()  # typer takes the first name there
    names = (*first, *(info.param_decls or ())) or ((f"{long}/--no-{parameter.name}",) if flag else (long,))
    value = "" if flag else f" {_value(parameter)}"
    shown = "" if flag or default in (None, "", inspect.Parameter.empty) else f" Default: {default}."
    cells = (f"`{', '.join(names)}{value}`", f"{info.help}{shown}")
    return f"| {' | '.join(cell.replace('|', chr(92) + '|') for cell in cells)} |\n"


def _value(parameter: inspect.Parameter) -> str:
    kind = get_args(parameter.annotation)[0]
    if isinstance(kind, type) and issubclass(kind, enum.Enum):
        return "|".join(str(choice.value) for choice in kind)
    number = bool({int, float} & {kind, *get_args(kind)})
    return str(_info(parameter).metavar or ("NUMBER" if number else "TEXT"))


def _info(parameter: inspect.Parameter) -> Any:
    return get_args(parameter.annotation)[1]


if __name__ == "__main__":
    sys.stdout.write(reference())
