"""An arm host in a process of its own, and a driver that plays the task processor to it.

Run as a file, this is the host process: `python tests/integration/arm_host.py BOOTSTRAP SUFFIX WEB_PORT`.
"""

from __future__ import annotations

import asyncio
import json
import logging
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any
from uuid import uuid4

from confluent_kafka import Consumer, Producer, TopicPartition
from confluent_kafka.admin import AdminClient
from confluent_kafka.cimpl import NewTopic

from arms.arm import Answer, Arm, Fail, arm
from arms.host import HostSettings, run_host
from arms.noop import noop
from arms.work import Work
from octolog.domain.arm import ArmRegistered
from octolog.domain.assignment import AttemptAssignment, AttemptRevoked
from octolog.domain.ids import ArmId, AttemptId, TaskId
from octolog.domain.reports import ExecutionResult, ModelCallIntended
from octolog.domain.values import Amounts, Limits
from schemas.codec import Codec
from schemas.registry import TopicSchemaIds
from streams.kafka.config import KafkaConfig
from streams.kafka.publisher import KafkaPublisher
from streams.kafka.schema_topic import KafkaSchemaTopic

ROOT = Path(__file__).resolve().parents[2]
TOPICS = {"octolog.results": 4, "octolog.resources": 4, "octolog.arms": 1, "_schemas": 1}


def codec_on(bootstrap: str) -> Codec:
    return Codec(TopicSchemaIds(KafkaSchemaTopic(KafkaConfig(bootstrap))))


def arms_for(suffix: str) -> list[Arm]:
    """Arms with names of their own, so that tests do not read each other's assignments."""

    @arm(f"sleeper-{suffix}", capabilities=("sleep",), max_concurrent_tasks=4, timeout_seconds=5)
    async def sleeper(work: Work) -> Answer:
        work.heartbeat("asleep")
        await asyncio.sleep(work.context.get("ms", 0) / 1000)
        return Answer({"slept": work.context}, confidence=0.5, data_sources=("clock",))

    @arm(f"single-{suffix}", capabilities=("one",), max_concurrent_tasks=1)
    def single(work: Work) -> Any:
        time.sleep(work.context.get("ms", 0) / 1000)
        if "fail" in work.context:
            raise Fail("asked to fail", "ASKED")
        if "odd" in work.context:
            return Answer({}, tests_passed=(object(),))  # type: ignore[arg-type]
        if "bug" in work.context:
            raise KeyError("a bug")
        return {"goal": work.goal}

    @arm(f"metered-{suffix}", capabilities=("meter",))
    async def metered(work: Work) -> str:
        async with work.handler.model_call("m", Amounts(tokens=10)) as call:
            call.settle(Amounts(tokens=7, calls=1), input_tokens=5, output_tokens=2)
        async with work.handler.model_call("m", Amounts(tokens=10)):
            pass
        return "done"

    quick = replace(noop, capability=replace(noop.capability, arm_id=ArmId(f"noop-{suffix}")))
    return [quick, sleeper, single, metered]


def host_main(bootstrap: str, suffix: str, web_port: str) -> None:
    logging.basicConfig(level=os.environ.get("OCTOLOG_TEST_LOG", "WARNING"))
    publisher = KafkaPublisher(KafkaConfig(bootstrap), background=True)
    settings = HostSettings(
        bootstrap,
        group_id=f"arms-{suffix}",
        slot=f"slot-{suffix}",
        web_port=int(web_port) or None,
    )
    run_host(settings, arms_for(suffix), publisher, codec_on(bootstrap))
    publisher.close()


class HostProcess:
    """A host in a process of its own.

    Attributes:
        folder: Where it runs, and where its temporary files go.
    """

    def __init__(self, bootstrap: str, suffix: str, log: Path, web_port: int = 0) -> None:
        self.folder = log.with_suffix("")
        self.folder.mkdir(exist_ok=True)
        env = os.environ | {"PYTHONPATH": str(ROOT), "TMPDIR": str(self.folder)}
        with log.open("ab") as out:
            self.process = subprocess.Popen(
                [sys.executable, __file__, bootstrap, suffix, str(web_port)],
                cwd=self.folder,
                env=env,
                stdout=out,
                stderr=out,
            )
        self.log = log

    def kill(self) -> None:
        self.process.kill()
        self.process.wait(60)

    def terminate(self) -> float:
        """Ask it to end; seconds it took."""
        began = time.monotonic()
        self.process.send_signal(signal.SIGTERM)
        self.process.wait(60)
        return time.monotonic() - began


class Driver:
    """Plays the task processor: assigns in transactions, reads results."""

    def __init__(self, bootstrap: str, suffix: str) -> None:
        self.bootstrap, self.suffix = bootstrap, suffix
        self.codec = codec_on(bootstrap)
        admin = AdminClient({"bootstrap.servers": bootstrap})
        wanted = [NewTopic(name, count, 1) for name, count in TOPICS.items()]
        wanted += [NewTopic(f"octolog.assignments.{a.arm_id}", 4, 1) for a in arms_for(suffix)]
        present = admin.list_topics(timeout=60).topics
        for future in admin.create_topics([t for t in wanted if t.topic not in present]).values():
            future.result()
        self.producer = Producer({
            "bootstrap.servers": bootstrap, "transactional.id": f"driver-{suffix}", "linger.ms": 1,
        })  # fmt: skip
        self.producer.init_transactions(20)
        self.consumer = Consumer({
            "bootstrap.servers": bootstrap, "group.id": f"driver-{suffix}-{uuid4().hex}",
            "auto.offset.reset": "earliest", "enable.auto.commit": False, "fetch.wait.max.ms": 5,
        })  # fmt: skip
        self.seen: list[tuple[int, Any]] = []
        self.consumer.assign([  # from here on: a cluster may hold much from before
            TopicPartition(topic, n, self.consumer.get_watermark_offsets(TopicPartition(topic, n), timeout=60)[1])
            for topic, count in TOPICS.items() if topic != "_schemas" for n in range(count)
        ])  # fmt: skip
        self.assigned = 0

    def assignment(self, arm_name: str, **fields: Any) -> AttemptAssignment:
        self.assigned += 1
        task = TaskId(f"{self.suffix}-{self.assigned}")
        values: dict[str, Any] = {
            "root_task_id": task, "task_id": task, "attempt_id": AttemptId(f"attempt-{task}"), "number": 1,
            "arm_id": ArmId(f"{arm_name}-{self.suffix}"), "goal": f"goal {self.assigned}", "constraints_json": "{}",
            "context_json": "{}", "acceptance_criteria": (), "inputs": (), "allowance": Limits(), "priority": 5,
            "assigned_ms": int(time.time() * 1000), "lease_ms": 30_000, "timeout_ms": 60_000,
            "security_policy": "default",
        }  # fmt: skip
        if "context" in fields:
            fields["context_json"] = json.dumps(fields.pop("context"))
        return AttemptAssignment(**(values | fields))

    def write(self, *commands: AttemptAssignment | AttemptRevoked, partition: int = -1) -> None:
        self.producer.begin_transaction()
        for command in commands:
            topic = f"octolog.assignments.{command.arm_id}"
            self.producer.produce(topic, self.codec.encode(command), command.attempt_id.encode(), partition)
        self.producer.commit_transaction(20)

    def announce(self, work: AttemptAssignment, number: int, at_most: Amounts) -> None:
        """Write what a host writes before a model call."""
        about = work.root_task_id, work.task_id, work.attempt_id, work.arm_id
        intent = ModelCallIntended(*about, number, "m", at_most)
        self.producer.begin_transaction()
        self.producer.produce("octolog.resources", self.codec.encode(intent), work.root_task_id.encode())
        self.producer.commit_transaction(20)

    def abort(self, *commands: AttemptAssignment) -> None:
        self.producer.begin_transaction()
        for command in commands:
            self.producer.produce(
                f"octolog.assignments.{command.arm_id}",
                self.codec.encode(command),
                command.attempt_id.encode(),
            )
        self.producer.flush(10)
        self.producer.abort_transaction(20)

    def until(self, enough: Callable[[], bool], timeout_s: float = 60) -> None:
        """Read reports until there are enough."""
        deadline = time.monotonic() + timeout_s
        while not enough():
            assert time.monotonic() < deadline, f"{len(self.seen)} reports after {timeout_s} s"
            self.read()

    def read(self, timeout_s: float = 0.1) -> None:
        first = self.consumer.poll(timeout_s)
        if first is None:
            return
        now = time.perf_counter_ns()
        for message in [first, *self.consumer.consume(5000, 0)]:
            assert message.error() is None
            if self.suffix.encode() not in (message.key() or b""):
                continue
            self.seen.append((now, self.codec.decode(message.value())))

    def of(self, kind: type[Any], arm_name: str | None = None) -> list[Any]:
        mine = [r for _, r in self.seen if isinstance(r, kind)]
        if kind is ArmRegistered:
            return [r for r in mine if r.capability.arm_id.endswith(f"-{self.suffix}")]
        wanted = f"{arm_name}-{self.suffix}" if arm_name else f"-{self.suffix}"
        return [r for r in mine if r.arm_id.endswith(wanted)]

    def results(self, arm_name: str | None = None) -> list[ExecutionResult]:
        return self.of(ExecutionResult, arm_name)

    def has_done(self, attempts: int) -> bool:
        return len({r.attempt_id for r in self.results()}) >= attempts

    def close(self) -> None:
        self.consumer.close()


if __name__ == "__main__":
    host_main(*sys.argv[1:])
