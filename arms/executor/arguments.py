"""Checks a command line against the policy and its rule, before anything is started."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from arms.executor.commands import COMMANDS, CommandRule
from arms.executor.policy import ExecutorPolicy, Forbidden, confined_path

__all__ = ["CommandLine", "check_command"]

MAX_ARGUMENTS: Final = 200
MAX_ARGUMENT_CHARS: Final = 10_000
_DIGITS: Final = re.compile(r"-\d{1,9}\Z")


@dataclass(frozen=True, slots=True)
class CommandLine:
    """A command that may be run.

    Attributes:
        name: The command.
        arguments: As they are passed on.
        paths: What it was pointed at, every link followed.
        environment: Set for it.
    """

    name: str
    arguments: tuple[str, ...]
    paths: tuple[str, ...]
    environment: dict[str, str]


def check_command(
    policy: ExecutorPolicy, command: object, arguments: object, workspace: Path | None
) -> CommandLine:
    """Check one command line.

    Args:
        policy: What is allowed.
        command: The bare name of a command; a path, a shell's line or anything else is refused.
        arguments: A list of texts.
        workspace: Where paths must lead, resolved; None: there is none.

    Raises:
        Forbidden: Saying what is not allowed, and what is.
    """
    name = command if isinstance(command, str) else ""
    rule = COMMANDS.get(name)
    if rule is None or name not in policy.commands:
        known = ", ".join(sorted(set(policy.commands) & set(COMMANDS))) or "none"
        raise Forbidden(
            f"command {str(command)[:80]!r} is not allowed; allowed: {known}", "COMMAND_NOT_ALLOWED"
        )
    texts = _texts(arguments)
    reader = _Reader(name, rule, workspace)
    reader.read(texts)
    return CommandLine(name, (*rule.before, *texts), tuple(reader.paths), dict(rule.environment or {}))


def _texts(arguments: object) -> tuple[str, ...]:
    if not isinstance(arguments, Sequence) or isinstance(arguments, str | bytes):
        raise Forbidden(
            "`args` is a list of texts; there is no shell that would split a line", "INVALID_INPUT"
        )
    if len(arguments) > MAX_ARGUMENTS:
        raise Forbidden(f"{len(arguments)} arguments; at most {MAX_ARGUMENTS}", "INVALID_INPUT")
    for text in arguments:
        if not isinstance(text, str) or "\0" in text or len(text) > MAX_ARGUMENT_CHARS:
            raise Forbidden(
                f"an argument is a text of at most {MAX_ARGUMENT_CHARS} characters", "INVALID_INPUT"
            )
    return tuple(arguments)


class _Reader:
    """Reads arguments as the command itself will."""

    def __init__(self, name: str, rule: CommandRule, workspace: Path | None) -> None:
        self.paths: list[str] = []
        self._name, self._rule, self._workspace = name, rule, workspace
        self._patterns_left = rule.patterns

    def read(self, arguments: Sequence[str]) -> None:
        rest = list(arguments)
        if self._rule.subcommands:
            if not rest or rest[0] not in self._rule.subcommands:
                allowed = ", ".join(sorted(self._rule.subcommands))
                raise Forbidden(
                    f"{self._name}: the first argument is one of {allowed}", "ARGUMENT_NOT_ALLOWED"
                )
            rest.pop(0)
        if self._rule.texts:
            return
        if self._rule.expression:
            self._expression(rest)
            return
        options = True
        while rest:
            text = rest.pop(0)
            if options and text == "--":
                options = False
            elif options and text.startswith("-"):
                self._option(text, rest)
            else:
                self._operand(text)

    def _option(self, text: str, rest: list[str]) -> None:
        rule = self._rule
        name, equals, _ = text.partition("=")
        if text.startswith("--"):
            if (text if not equals else "") in rule.long_flags or (equals and name in rule.long_valued):
                self._note_pattern(name == "--regexp")
                return
            raise self._refusal(name)
        if rule.digits and _DIGITS.match(text):
            return
        if text == "-":
            raise Forbidden(f"{self._name}: there is no standard input to read", "ARGUMENT_NOT_ALLOWED")
        for at, letter in enumerate(text[1:], 1):
            if letter in rule.valued:
                self._note_pattern(letter in rule.pattern_options)
                if at == len(text) - 1 and not rest:
                    raise Forbidden(f"{self._name}: option -{letter} needs a value", "ARGUMENT_NOT_ALLOWED")
                if at == len(text) - 1:
                    rest.pop(0)
                return
            if letter not in rule.flags:
                raise self._refusal(f"-{letter}")

    def _note_pattern(self, brings_pattern: bool) -> None:  # noqa: FBT001 -- a private step of the reading
        if brings_pattern:
            self._patterns_left = 0

    def _operand(self, text: str) -> None:
        if self._patterns_left:
            self._patterns_left -= 1
            return
        self.paths.append(confined_path(text, self._workspace))

    def _expression(self, rest: list[str]) -> None:
        started = False
        while rest:
            text = rest.pop(0)
            if not started and not text.startswith(("-", "(", "!")):
                self.paths.append(confined_path(text, self._workspace))
                continue
            started = True
            if text in self._rule.words:
                continue
            if text not in self._rule.word_arguments | self._rule.path_arguments:
                raise self._refusal(text)
            if not rest:
                raise Forbidden(f"{self._name}: {text} needs a value", "ARGUMENT_NOT_ALLOWED")
            value = rest.pop(0)
            if text in self._rule.path_arguments:
                self.paths.append(confined_path(value, self._workspace))

    def _refusal(self, option: str) -> Forbidden:
        rule = self._rule
        if rule.expression:
            allowed = " ".join(sorted(rule.words | rule.word_arguments | rule.path_arguments))
        else:
            letters = "".join(sorted(rule.flags + rule.valued))
            allowed = " ".join([*([f"-{letters}"] if letters else []), *rule.long_flags, *rule.long_valued])
        text = f"{self._name}: option {option[:60]!r} is not allowed; allowed: {allowed}"
        return Forbidden(text, "ARGUMENT_NOT_ALLOWED")
