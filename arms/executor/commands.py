"""The commands an executor knows, and which of their options it passes on: an option nobody listed is refused.

An option is listed when no value of it can execute, write or delete anything, or read outside the workspace. So
`find -exec`, `find -delete`, `grep --file`, `tail --follow`, `wc --files0-from` are not there.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

__all__ = ["COMMANDS", "CommandRule"]


@dataclass(frozen=True, slots=True)
class CommandRule:
    """How the arguments of one command are read.

    Attributes:
        flags: One-letter options without a value; may be bundled.
        valued: One-letter options that take a value, attached or as the next argument.
        long_flags: Long options without a value, dashes included.
        long_valued: Long options with `=value`.
        patterns: How many of the first operands are texts rather than paths.
        pattern_options: Options that bring the pattern, so that every operand is a path.
        texts: Every argument is a text that is printed; none can do anything else.
        digits: `-5` means `-n 5`.
        expression: It is an expression, as of find: `words` take no argument, `word_arguments` take one text,
            `path_arguments` one path; what comes before is paths.
        words: See `expression`.
        word_arguments: See `expression`.
        path_arguments: See `expression`.
        subcommands: The first argument must be one of these.
        before: Put between the command and its arguments.
        environment: Set for it.
    """

    flags: str = ""
    valued: str = ""
    long_flags: tuple[str, ...] = ()
    long_valued: tuple[str, ...] = ()
    patterns: int = 0
    pattern_options: str = ""
    texts: bool = False
    digits: bool = False
    expression: bool = False
    words: frozenset[str] = frozenset()
    word_arguments: frozenset[str] = frozenset()
    path_arguments: frozenset[str] = frozenset()
    subcommands: frozenset[str] = frozenset()
    before: tuple[str, ...] = ()
    environment: Mapping[str, str] | None = None


_FIND: Final = CommandRule(
    expression=True,
    words=frozenset({
        "!", "(", ")", ",", "-a", "-and", "-daystart", "-depth", "-empty", "-executable", "-false", "-ls",
        "-mount", "-not", "-o", "-or", "-print", "-print0", "-prune", "-quit", "-readable", "-true",
        "-writable", "-xdev",
    }),
    word_arguments=frozenset({
        "-amin", "-atime", "-cmin", "-ctime", "-iname", "-ipath", "-iregex", "-links", "-maxdepth", "-mindepth",
        "-mmin", "-mtime", "-name", "-path", "-perm", "-regex", "-regextype", "-size", "-type",
    }),
    path_arguments=frozenset({"-newer", "-samefile"}),
)  # fmt: skip

# No hook, pager, signature program, external diff or text converter of a repository's own settings is started; the
# box lets git start no program in any case.
_GIT: Final = CommandRule(
    subcommands=frozenset({
        "blame", "diff", "log", "ls-files", "ls-tree", "rev-parse", "shortlog", "show", "status",
    }),
    flags="Mbpqsvwz",
    valued="nUL",
    long_flags=(
        "--abbrev-ref", "--all", "--cached", "--first-parent", "--graph", "--name-only", "--name-status", "--no-merges",
        "--numstat", "--oneline", "--patch", "--porcelain", "--reverse", "--short", "--shortstat", "--staged", "--stat",
        "--summary",
    ),
    long_valued=(
        "--after", "--author", "--before", "--format", "--grep", "--max-count", "--pretty", "--since",
        "--until",
    ),
    before=(
        "--no-pager", "--no-optional-locks", "-c", "core.fsmonitor=false", "-c", "core.hooksPath=/dev/null",
        "-c", "diff.external=", "-c", "log.showSignature=false", "-c", "protocol.allow=never",
    ),
    environment={
        "GIT_CONFIG_GLOBAL": "/dev/null", "GIT_CONFIG_NOSYSTEM": "1", "GIT_PAGER": "cat", "GIT_TERMINAL_PROMPT": "0",
    },
)  # fmt: skip

COMMANDS: Final[Mapping[str, CommandRule]] = {
    "cat": CommandRule(flags="AbEenstTuv", long_flags=("--number", "--show-all", "--squeeze-blank")),
    "echo": CommandRule(texts=True),
    "find": _FIND,
    "git": _GIT,
    "grep": CommandRule(
        flags="acEFGHhiIlLnoqrsvwxzZ",
        valued="ABCme",
        long_flags=(
            "--count", "--extended-regexp", "--fixed-strings", "--ignore-case", "--invert-match", "--line-number",
            "--line-regexp", "--no-filename", "--only-matching", "--recursive", "--with-filename", "--word-regexp",
        ),
        long_valued=("--exclude", "--exclude-dir", "--include", "--max-count", "--regexp"),
        patterns=1,
        pattern_options="e",
    ),
    "head": CommandRule(flags="qvz", valued="cn", long_valued=("--bytes", "--lines"), digits=True),
    "ls": CommandRule(
        flags="1AaBCcdFghiklmnopQqRrSstUuvXx",
        long_flags=(
            "--all", "--almost-all", "--directory", "--full-time", "--human-readable", "--recursive", "--reverse",
            "--size",
        ),
        long_valued=("--sort", "--time", "--time-style"),
    ),
    "tail": CommandRule(flags="qvz", valued="cn", long_valued=("--bytes", "--lines"), digits=True),
    "wc": CommandRule(flags="clLmw", long_flags=("--bytes", "--chars", "--lines", "--max-line-length", "--words")),
}  # fmt: skip
"""Every command there is a rule for; a policy can allow these and no others."""
