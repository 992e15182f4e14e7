"""Documents, and arms that answer them, for the behaviours."""

from __future__ import annotations

from octolog.domain import facts as f
from octolog.domain.assignment import AttemptAssignment
from octolog.domain.operators import (
    Program,
)
from octolog.domain.reports import ExecutionResult
from octolog.testing import ArmsTopic, ShardLog, capability, submit, success
from tests.acceptance.evaluation import ROOT, said

TEMPLATE = (
    """<task><instructions>Read {}</instructions><system>You read.</system><model>sonnet</model>{}</task>"""
)

FIVE = """<task type="sequential"><description>Five steps.</description>{}<steps>
  <task type="atomic" name="one"><description>1</description><instructions>one</instructions></task>
  <task type="atomic" name="two"><description>2</description><instructions>two {{{{one}}}}</instructions></task>
  <task type="atomic" name="three"><description>3</description><instructions>three</instructions></task>
  <task type="atomic" name="four"><description>4</description><instructions>four</instructions></task>
  <task type="atomic" name="five"><description>5</description><instructions>five</instructions></task>
</steps></task>"""

CONTEXT = """<context_management><inherit_context>{}</inherit_context><accumulate_data>{}</accumulate_data>
<accumulation_format>{}</accumulation_format></context_management>"""

SQUARES = """<task type="reduce"><description>Sum of squares.</description><initial_value>0</initial_value>
<inputs><input name="a">3</input><input name="b">4</input><input name="c">5</input></inputs>
<inner_task><task type="atomic"><description>Square.</description>
  <instructions>square {{current_input}}</instructions></task></inner_task>
<reduction_task><task type="atomic"><description>Add.</description>
  <instructions>add {{current_result}} to {{accumulator}}</instructions></task></reduction_task></task>"""

THREE = """<task type="map"{}><description>Three at once.</description>
<inputs><input name="a">3</input><input name="b">4</input><input name="c">5</input></inputs>
<inner_task><task type="atomic"><description>Square.</description>
  <instructions>square {{{{current_input}}}}</instructions></task></inner_task></task>"""

ONE = """<task type="atomic"{}><description>One task.</description><instructions>{}</instructions>{}</task>"""

TWO_HALVES = """<task type="sequential"><description>Halves.</description><steps>
  <task type="atomic" name="first"><description>1</description><instructions>first half</instructions></task>
  <task type="atomic" name="second"><description>2</description>
    <instructions>second half after {{first}}</instructions></task></steps></task>"""


def echo(of: AttemptAssignment) -> ExecutionResult:
    return success(of, said(of.instructions))


def calculate(of: AttemptAssignment) -> ExecutionResult:
    """Squares and sums what the instructions say."""
    words = of.instructions.split()
    number = int(words[1]) ** 2 if words[0] == "square" else int(words[1]) + int(words[3])
    return success(of, said(str(number)))


def rejected(program: Program) -> f.RequestRejected:
    log = ShardLog(ArmsTopic(capability("arm-a")))
    [fact] = log.send(submit(ROOT, operators=program))
    assert isinstance(fact, f.RequestRejected), fact
    return fact
