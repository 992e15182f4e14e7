"""What a recovery is told: octolog's own templates for it, the only place of these words.

An assignment bears the template's text as it stands here, and the values beside it in its `recovery`, so that what was
told lies in the log once. `instructions_of` puts them together, for every arm alike. As XML they are shown by
`octolog template show reparse-decomposition`.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Final

from octolog.domain.assignment import AttemptAssignment
from octolog.domain.evaluator.text import filled
from octolog.domain.operators import RecoveryKind
from octolog.domain.tasksystem import NamedText, TaskTemplate

_DECOMPOSITION: Final = """\
One attempt at the task below ran out of room. Do not solve the task. Split it into smaller tasks that together
give the same result, each of which fits into one attempt.

The task:
{{original_task}}

What ran out: {{resource}} ({{error_type}}: {{message}})

Answer with one XML document and nothing else: no remark before or after it, no code fence. The first element is
`task` with a type:

- `sequential`: elements `description` and `steps`; its tasks run one after another. A later step's text may hold
  the result of an earlier one as its name in double braces.
- `map`: elements `description` and `steps`; its tasks run side by side and know nothing of each other.
- `reduce`: elements `description`, `initial_value`, `inputs`, `inner_task`, `reduction_task`; for each input the
  inner task runs, then the reduction, whose result is carried on.
- `atomic`: elements `description` and `instructions`; what one attempt does.

Every task begins with its `description`, every step has a `name` of letters, digits and hyphens that no other step
beside it has. An example of the form, not of the content:

<task type="sequential">
  <description>Compare two reports</description>
  <context_management>
    <inherit_context>false</inherit_context>
    <accumulate_data>true</accumulate_data>
    <accumulation_format>notes_only</accumulation_format>
  </context_management>
  <steps>
    <task type="atomic" name="first">
      <description>Sum up the first report</description>
      <instructions>Give the five main figures of the first report.</instructions>
    </task>
    <task type="atomic" name="second">
      <description>Sum up the second report</description>
      <instructions>Give the five main figures of the second report.</instructions>
    </task>
  </steps>
</task>
"""

_ALTERNATIVE: Final = """\
An earlier answer to the task below was not accepted. Solve the task again, in another way than before.

The task:
{{original_task}}

The earlier answer:
{{given_output}}

Why it was not accepted ({{error_type}}): {{message}}
{{violations}}

First find out what led to each fault, and choose an approach that cannot lead to it. Then answer with the task's
result alone, in the form the task asks for.
"""

TEMPLATES: Final[Mapping[RecoveryKind, TaskTemplate]] = MappingProxyType({
    RecoveryKind.DECOMPOSITION: TaskTemplate(
        _DECOMPOSITION,
        "You plan work. You answer in XML alone.",
        "default",
        tuple(NamedText(name, "") for name in ("original_task", "error_type", "resource", "message")),
        disable_reparsing=True,
    ),
    RecoveryKind.ALTERNATIVE: TaskTemplate(
        _ALTERNATIVE,
        "You answer exactly in the form that a task asks for.",
        "default",
        tuple(
            NamedText(name, "")
            for name in ("original_task", "error_type", "message", "violations", "given_output")
        ),
        disable_reparsing=True,
    ),
})  # fmt: skip
"""By kind. Their inputs are what `instructions_of` fills in."""


def instructions_of(given: AttemptAssignment) -> str:
    """What exactly an attempt is to do: its task prompt, of a recovery with what failed; outside programs the goal.

    Raises:
        InputTooLarge: A recovery's text with its values is too long.
    """
    recovery = given.recovery
    if recovery is None:
        return given.instructions or given.goal
    error = recovery.error
    values = {
        "original_task": recovery.instructions,
        "error_type": str(error.type),
        "message": error.message,
        "resource": error.resource or "",
        "violations": "\n".join(f"- {each}" for each in error.violations),
        "given_output": recovery.output,
    }
    return filled(given.instructions, values.get)


def system_of(kind: RecoveryKind, own: str) -> str:
    """A recovery's system prompt; who tries a task in another way keeps the task's own before it."""
    template = TEMPLATES[kind].system_prompt
    return template if kind is RecoveryKind.DECOMPOSITION or not own else f"{own}\n\n{template}"
