"""What a recovery is told, for arms that have no words of their own for it.

The template arm has: `schemas/xml/builtin/reparse-*.xml`, filled in with the recovery that an assignment bears. What
stands here names no format and no tool, because an arm may be anything that can be asked.
"""

from __future__ import annotations

from typing import Final

from octolog.domain.operators import RecoveryKind

PROMPTS: Final = {
    RecoveryKind.DECOMPOSITION: (
        "A task needs more than one handler may use. Divide it into smaller tasks, as a program of operators "
        "(sequential, map, reduce, atomic) whose result is what the task asks for. The task's instructions and its "
        "error come with this request. Answer with the program alone."
    ),
    RecoveryKind.ALTERNATIVE: (
        "An earlier answer to a task does not follow its rules. Do the task in another way. The task's "
        "instructions, the earlier answer and the rules it broke come with this request. Answer the task itself."
    ),
    RecoveryKind.UNKNOWN: "",
}
