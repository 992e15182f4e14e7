"""Test your own contracts, arms and plans against octolog's real rules, without Kafka, clock or network.

`given(...).when(...).then(...)` states one rule of a task tree; `ShardLog` runs whole trees in memory on the
code that runs in production. Neither imports a test framework: a rule that does not hold is an AssertionError.

```python
given(submitted).when(cancel()).then(cancelled)
```
"""

from octolog.testing.arms import ArmsTopic, capability
from octolog.testing.reports import (
    AttemptRef,
    attempt,
    call_intended,
    call_used,
    failure,
    heartbeat,
    partial,
    started,
    success,
)
from octolog.testing.requests import amend, cancel, step, submit
from octolog.testing.shard_log import ClosedIndex, Logged, Received, ShardLog
from octolog.testing.specification import Decided, Given, assign, defer, given, history

__all__ = [
    "ArmsTopic",
    "AttemptRef",
    "ClosedIndex",
    "Decided",
    "Given",
    "Logged",
    "Received",
    "ShardLog",
    "amend",
    "assign",
    "attempt",
    "call_intended",
    "call_used",
    "cancel",
    "capability",
    "defer",
    "failure",
    "given",
    "heartbeat",
    "history",
    "partial",
    "started",
    "step",
    "submit",
    "success",
]
