"""The review of a folder: what it reads, what the judge confirms, and its report."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path
from typing import get_args

import pytest

from arms.review import Finding, Review, Survey, report, review_documents, survey, verify_findings
from arms.review.findings import KINDS, Kind
from arms.review.survey import BATCH_MAX_BYTES, BATCH_MAX_FILES
from arms.review.verify import _CHECKS
from tests.unit.review.folders import FAULTY_MARKDOWN, LIBRARY, all_findings, found, write


def test_the_judge_refutes_what_is_no_longer_or_never_was_true(tmp_path: Path) -> None:
    write(tmp_path, README_md=FAULTY_MARKDOWN, other_md="# Other\n", lib_py=LIBRARY)
    findings = all_findings(tmp_path)
    assert verify_findings(tmp_path, findings).refuted == ()
    write(tmp_path, docs__nope_md="# Now it exists\n")
    forged = Finding("lib.py", 5, "missing-docstring", "`shared` has none", "def shared(items=[]):", "note")
    moved = Finding("lib.py", 2, "bare-except", "bare `except:`", "    except:", "warning")
    verdict = verify_findings(tmp_path, [*findings, forged, moved])
    assert [(each.finding.path, each.finding.line, each.reason) for each in verdict.refuted] == [
        ("README.md", 6, "the target exists"),
        ("lib.py", 2, "the line does not say what the finding quotes"),
        ("lib.py", 5, "it has one"),
    ]
    assert verdict.confidence == pytest.approx(len(verdict.confirmed) / (len(findings) + 2))


def test_every_kind_has_a_severity_and_a_judge() -> None:
    assert set(KINDS) == set(get_args(Kind)) == set(_CHECKS)


def test_nothing_outside_the_root_is_read(tmp_path: Path) -> None:
    root = tmp_path / "root"
    write(tmp_path, secret_md="[a](nope.md)\n")
    write(root, fine_md="# Fine\n")
    (root / "link.md").symlink_to(tmp_path / "secret.md")
    assert dict(survey(root).skipped) == {"unreadable": 1}
    assert review_documents(root, ["link.md", "../secret.md", str(tmp_path / "secret.md")]) == Review((), ())


def test_a_file_linked_from_elsewhere_is_reviewed_once_where_it_lies(tmp_path: Path) -> None:
    write(tmp_path, docs__guide_md="[a](other.md)\n", docs__other_md="# Other\n")
    (tmp_path / "GUIDE.md").symlink_to("docs/guide.md")
    assert dict(survey(tmp_path).skipped) == {"linked": 1}
    assert all_findings(tmp_path) == []


def test_bytes_that_are_no_utf8_do_not_stop_a_review(tmp_path: Path) -> None:
    (tmp_path / "latin.md").write_bytes(b"# caf\xe9\r\n\r\n[a](nope.md)\r\n")
    (tmp_path / "latin.py").write_bytes(b"# -*- coding: latin-1 -*-\n'''caf\xe9'''\n")
    (tmp_path / "binary.md").write_bytes(b"\0\1\2[a](nope.md)")
    assert [(f.path, f.kind, f.line) for f in all_findings(tmp_path)] == [("latin.md", "broken-link", 3)]


def test_batches_are_bounded_and_cover_every_file_once(tmp_path: Path) -> None:
    for number in range(60):
        (tmp_path / f"page{number:02}.md").write_text("# x\n" * (15_000 if number % 7 == 0 else 1))
    write(tmp_path, lib_py="x = 1\n", node_modules__dep_js="x\n", empty_md="")
    looked = survey(tmp_path)
    paths = [path for batch in looked.batches for path in batch.paths]
    assert len(paths) == len(set(paths)) == 61
    assert all(len(b.paths) <= BATCH_MAX_FILES and b.size_bytes <= BATCH_MAX_BYTES for b in looked.batches)
    assert dict(looked.skipped) == {"empty": 1}


def test_in_a_git_repository_only_what_git_would_track_counts(tmp_path: Path) -> None:
    write(tmp_path, kept_md="# x\n", secret__ignored_md="# x\n")
    (tmp_path / ".gitignore").write_text("secret/\n")
    subprocess.run(["git", "init", "-q", str(tmp_path)], check=True)
    assert [path for batch in survey(tmp_path).batches for path in batch.paths] == ["kept.md"]


def test_a_missing_folder_is_refused_with_what_to_do(tmp_path: Path) -> None:
    with pytest.raises(NotADirectoryError, match="name one that holds"):
        survey(tmp_path / "nope")


def test_what_travels_as_json_comes_back_equal(tmp_path: Path) -> None:
    write(tmp_path, README_md=FAULTY_MARKDOWN, lib_py=LIBRARY)
    looked, review = survey(tmp_path), review_documents(tmp_path, ["README.md"])
    assert Survey.from_json(json.loads(json.dumps(looked.to_json()))) == looked
    assert Review.from_json(json.loads(json.dumps(review.to_json()))) == review
    assert list(review.findings[0].to_json()) == sorted(review.findings[0].to_json())
    with pytest.raises(ValueError, match="needs the field 'kind'"):
        Finding.from_json({"path": "a", "line": 1})


def test_the_report_is_the_same_each_time_and_names_every_place(tmp_path: Path) -> None:
    write(tmp_path, README_md=FAULTY_MARKDOWN, lib_py=LIBRARY + "    # TODO more\n" * 40)
    verdict = verify_findings(tmp_path, all_findings(tmp_path))
    text = report(survey(tmp_path), reversed(verdict.confirmed), verdict.refuted)
    assert text == report(survey(tmp_path), verdict.confirmed, verdict.refuted)
    assert "`README.md:6` **error** broken-link: `docs/nope.md`" in text
    assert text.index("## README.md") < text.index("## lib.py")
    shown = text.count("`lib.py:")
    assert f"and {sum(f.path == 'lib.py' for f in verdict.confirmed) - shown} more in this file" in text


def test_a_long_hostile_document_is_read_in_bounded_time(tmp_path: Path) -> None:
    hostile = (
        "[" * 5_000 + "<a " * 5_000 + "\n" + "[a](b.md) " * 5_000 + "\n\n" + "# x\n" * 5_000 + "<!-- " * 5_000
    )
    write(tmp_path, page_md=hostile)
    assert set(found(review_documents(tmp_path, ["page.md"]))) == {("broken-link", 2)}
