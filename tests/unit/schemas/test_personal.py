"""What can hold personal data says so, and goes through one place when it leaves."""

from __future__ import annotations

import json
from typing import Any

import pytest

from octolog.domain.chain import GENESIS, Link
from octolog.domain.contract import CancelTask, Step, SubmitTask, TaskContract
from octolog.domain.facts import TaskSubmitted
from octolog.domain.ids import TaskId
from octolog.domain.upkeep import DeadLetter
from schemas import catalog
from schemas.codec import Codec
from schemas.personal import REDACTED, REDACTED_JSON, personal_paths, redacted
from schemas.registry import MemorySchemaTopic, TopicSchemaIds

CODEC = Codec(TopicSchemaIds(MemorySchemaTopic()))
ROOT = TaskId("task-1")
CONTRACT = TaskContract(
    ROOT,
    "Write to Ada Lovelace",
    constraints_json='{"tone":"kind"}',
    acceptance_criteria=("names her",),
    steps=(Step("one", "Find Ada's address"),),
)

# fmt: off
NEITHER = {
    "about", "accepted_with", "allowed_arms", "allowed_tags", "announced_by", "commands", "kind", "network", "pii_mode",
    "arm_id", "asked_by", "assigned_arm", "attempt_id", "capabilities", "capability",
    "capability_token", "cause_topic", "code", "collection", "command", "command_hash",
    "completed_steps", "consumer", "continuation", "contract_digest", "default_model", "depends_on",
    "description", "digest", "dropped", "embedding_model", "endpoint", "episode_id", "error", "error_code",
    "failed_step", "failed_task_id", "field", "health_check_url", "input_hash", "input_name", "input_schema_json",
    "instance_id", "judge_capabilities", "judge_task_id", "key_id", "location", "media_type", "memory_id", "memory_ids",
    "model", "model_version", "name", "output_hash", "output_schema_json", "output_type", "owner", "parent_task_id",
    "path", "peaks", "policy", "previous_key_id", "price_version", "program_id", "public_key", "reason",
    "recovery_task_id", "registered_by", "repaired", "replaces", "request_id", "required_capabilities", "resource",
    "retired_by", "root_task_id", "routing_policy", "security_policy", "sha256", "signature",
    "source_topic", "status", "step_id", "stopped_by", "subject", "subtask_task_id", "superseded_by", "tags",
    "taken", "task_id", "tests_passed", "token_sha256", "topic", "type", "variable", "version", "warnings", "xml"
}
# fmt: on
"""Text that names no person: ids, names of machines and settings, digests. A new field joins them, or is marked."""


def _texts(name: str) -> list[dict[str, Any]]:
    fields = catalog.file_schema(name).get("fields", [])
    return [f for f in fields if any(f'"{kind}"' in json.dumps(f["type"]) for kind in ("string", "bytes"))]


@pytest.mark.parametrize("name", catalog.all_names())
def test_every_text_is_marked_or_known_to_name_no_person(name: str) -> None:
    unknown = {f["name"] for f in _texts(name) if f.get("personal") is not True} - NEITHER
    assert not unknown, f'mark them in {name} with "personal": true, or list them here'


def test_paths_lead_through_records_and_lists() -> None:
    paths = personal_paths("octolog.contract.SubmitTask")
    assert {"submitted_by", "contract.goal", "contract.steps[].context_json"} <= set(paths)
    assert "contract.task_id" not in paths


def test_a_redacted_record_says_nothing_and_can_still_be_written() -> None:
    left = redacted(SubmitTask(ROOT, CONTRACT, "ada"))
    assert CODEC.decode(CODEC.encode(left)) == left
    assert (left.root_task_id, left.submitted_by, left.contract.goal) == (ROOT, REDACTED, REDACTED)
    assert left.contract.constraints_json == REDACTED_JSON
    assert left.contract.acceptance_criteria == ()
    assert (left.contract.steps[0].step_id, left.contract.steps[0].goal) == ("one", REDACTED)
    assert "Ada" not in str(left)


def test_what_holds_nothing_personal_is_left_alone() -> None:
    record = CancelTask(ROOT, "", "")
    assert redacted(record) is record
    again = redacted(redacted(SubmitTask(ROOT, CONTRACT, "ada")))
    assert redacted(again) is again


def test_a_redacted_fact_keeps_its_link_and_the_hash_of_what_it_was() -> None:
    link = Link(ROOT, 0, 0, "octolog.contracts", 0, 0, 1, 1, 1, GENESIS)
    fact = TaskSubmitted(1, CONTRACT, "0" * 64, "ada")
    recorded = CODEC.decode(CODEC.encode_fact(fact, link)[0])
    left = redacted(recorded)
    assert (left.link, left.hash) == (link, recorded.hash)
    assert "Ada" not in str(left.fact)


def test_bytes_nobody_could_read_are_personal() -> None:
    letter = DeadLetter(
        "octolog.results", 0, 1, 2, "processor", "no record: b'Ada'", "Error", b"k", b"Ada", "[]"
    )
    left = redacted(letter)
    assert (left.key, left.value, left.reason) == (b"", b"", REDACTED)
