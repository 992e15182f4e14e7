"""The review finds every kind of fault in a real folder, quotes it exactly, and keeps quiet about its near misses."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path
from typing import get_args

import pytest

from arms.review import (
    Finding,
    Review,
    Survey,
    check_snippets,
    extract_snippets,
    report,
    review_code,
    review_documents,
    survey,
    verify_findings,
)
from arms.review.findings import KINDS, Kind
from arms.review.markdown import slug
from arms.review.survey import BATCH_MAX_BYTES, BATCH_MAX_FILES
from arms.review.verify import _CHECKS


def write(root: Path, **files: str) -> Path:
    """Write files named with `__` for `/` and a single `_` before the suffix."""
    for name, text in files.items():
        stem, _, suffix = name.rpartition("_")
        path = root / f"{stem.replace('__', '/')}.{suffix}"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
    return root


def found(review: Review) -> list[tuple[str, int]]:
    return [(finding.kind, finding.line) for finding in review.findings]


def all_findings(root: Path, *, run: bool = False) -> list[Finding]:
    looked = survey(root)
    findings: list[Finding] = []
    for batch in looked.batches:
        if batch.kind == "documents":
            findings += review_documents(root, batch.paths).findings
            findings += check_snippets(root, batch.paths, run=run).findings
        else:
            findings += review_code(root, batch.paths, tests=looked.tests).findings
    return findings


FAULTY_MARKDOWN = """---
title: a page
---
# Hello `World`

See [a](docs/nope.md) and
[b](other.md#none), [c](#hello).
![d](pic.png) [undefined text][nolabel]

| [cell](gone.md) |
|---|

> - <a href="inline.md">e</a>

[used]: missing/def.md

[f][used]
"""


def test_every_fault_of_a_document_is_cited_at_its_line(tmp_path: Path) -> None:
    write(tmp_path, README_md=FAULTY_MARKDOWN, other_md="# Other\n")
    review = review_documents(tmp_path, ["README.md"])
    assert found(review) == [
        ("broken-link", 6),
        ("broken-anchor", 7),
        ("broken-anchor", 7),
        ("missing-image", 8),
        ("undefined-reference", 8),
        ("broken-link", 10),
        ("broken-link", 13),
        ("broken-link", 17),
    ]
    assert review.findings[0].evidence == "See [a](docs/nope.md) and"
    assert review.files_read == ("README.md", "other.md")


@pytest.mark.parametrize(
    "text",
    [
        "[a](other.md) [b](other.md#twice-1) [c](<with space.md>) [d](with%20space.md)",
        "[web](https://example.com/x.md) [mail](mailto:a@b.c) [root](/site/page) [up](../../issues)",
        "`[code](nope.md)` and <!-- [comment](nope.md) -->",
        "```\n[block](nope.md)\n```",
        "table[row][column] and [ ] and [^1] and [x][1][2]",
        "[explicit](other.md#given) [named](other.md#by-name) [set](other.md#chosen)",
        "[template]({{ url }}/x.md) [example](url) [top](#) [line](code.py#L3)",
        "\\[not a link](nope.md)",
        "[text][Label Two]\n\n[label  two]: other.md",
    ],
)
def test_what_works_or_cannot_be_judged_is_no_broken_link(tmp_path: Path, text: str) -> None:
    other = '# Twice\n\n# Twice\n\n<a id="given"></a> <a name="by-name"></a>\n\n## Named {#chosen}\n'
    write(tmp_path, README_md=text, other_md=other, code_py="x = 1\n")
    (tmp_path / "with space.md").write_text("# Space\n")
    assert found(review_documents(tmp_path, ["README.md"])) == []


def test_anchors_of_a_site_follow_its_generator_too(tmp_path: Path) -> None:
    write(tmp_path, page_md="# Foo & Bar\n\n[a](#foo-bar)\n")
    assert found(review_documents(tmp_path, ["page.md"])) == [("broken-anchor", 3)]
    write(tmp_path, mkdocs_yml="site_name: x\n")
    assert found(review_documents(tmp_path, ["page.md"])) == []


@pytest.mark.parametrize(
    ("heading", "anchor"),
    [
        ("Hello, World!", "hello-world"),
        ("Foo & Bar", "foo--bar"),
        ("snake_case 2.0", "snake_case-20"),
        ("Größe", "größe"),
    ],
)
def test_slugs_are_those_of_github(heading: str, anchor: str) -> None:
    assert slug(heading) == anchor


def block(language: str, code: str, above: str = "") -> str:
    return f"# Title\n\n{above}\n```{language}\n{code}\n```\n"


@pytest.mark.parametrize(
    ("language", "code", "kind", "line"),
    [
        ("python", "x = 1\nprint 'x'", "snippet-python", 6),
        ("py", ">>> f(1)\n1\n>>> g(2))\n", "snippet-python", 7),
        ("json", '{\n  "a": 1,\n}', "snippet-json", 7),
        ("toml", "a = 1\nb = = 2", "snippet-toml", 6),
        ("yaml", "a: 1\nb: [1, 2", "snippet-yaml", 7),
        ("bash", "echo a\nif true; then", "snippet-bash", 8),
        ("console", "$ echo 'a\nout", "snippet-bash", 5),
    ],
)
def test_an_example_that_does_not_parse_is_found(
    tmp_path: Path, language: str, code: str, kind: str, line: int
) -> None:
    write(tmp_path, page_md=block(language, code))
    (finding,) = check_snippets(tmp_path, ["page.md"]).findings
    assert finding.kind == kind
    assert abs(finding.line - line) <= 1
    assert finding.evidence == (tmp_path / "page.md").read_text().split("\n")[finding.line - 1]
    assert verify_findings(tmp_path, [finding]).confirmed == (finding,)


@pytest.mark.parametrize(
    ("language", "code"),
    [
        ("python", "async with client:\n    ...\nawait f()\nreturn 1"),
        ("python", "config = {'a': 1, ... 'b'}"),
        ("python", "def f(a: int, *, b: str = 'x') -> dict[str, int]"),
        ("python", "def f(a):"),
        ("python", ">>> for x in y:\n...     print(x)\n1\nnot python at all"),
        ("python", "  indented = 1"),
        ("python", "%%time\nx = 1"),
        ("python no-check", "x = = 1"),
        ("python", "client(key=<your key>)"),
        ("json", '{"a": 1}\n{"a": 2}'),
        ("json", '{"a": 1, // why\n "b": 2}'),
        ("json", '"key": {"a": 1}'),
        ("json", '{"a": ...}'),
        ("yaml", "{{ helm }}: x\n  - : ["),
        ("yaml", "a: !Ref b\n---\nc: d"),
        ("bash", "$ echo a\nDon't parse output"),
        ("bash", "curl <url> | (jq"),
        ("text", "x = = 1"),
        ("", "x = = 1"),
    ],
)
def test_an_example_written_for_people_is_no_mistake(tmp_path: Path, language: str, code: str) -> None:
    write(tmp_path, page_md=block(language, code))
    assert found(check_snippets(tmp_path, ["page.md"])) == []


def test_a_block_can_be_opted_out_by_a_comment(tmp_path: Path) -> None:
    write(tmp_path, page_md=block("python", "x = = 1", above="<!-- skip -->"))
    assert [snippet.opted_out for snippet in extract_snippets(tmp_path, ["page.md"])] == [True]
    assert found(check_snippets(tmp_path, ["page.md"])) == []


@pytest.mark.parametrize(
    ("code", "said"),
    [
        ("x = 1\n1 / 0", "ZeroDivisionError"),
        ("import socket\nsocket.socket()", "sandbox refuses"),
        ("import subprocess\nsubprocess.run(['true'])", "sandbox refuses"),
        ("import os\nos.system('true')", "sandbox refuses"),
        ("x = 1\nopen('/tmp/octolog-escape', 'w')", "sandbox refuses"),
        ("x = 1\nbytearray(1 << 34)", "MemoryError"),
        ("import os\nassert 'SECRET_OF_THE_HOST' in os.environ", "AssertionError"),
    ],
)
def test_a_self_contained_example_that_fails_is_found(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, code: str, said: str
) -> None:
    monkeypatch.setenv("SECRET_OF_THE_HOST", "1")
    write(tmp_path, page_md=block("python run", code))
    assert found(check_snippets(tmp_path, ["page.md"])) == []
    (finding,) = check_snippets(tmp_path, ["page.md"], run=True).findings
    assert (finding.kind, finding.line) == ("snippet-fails", 6)
    assert said in finding.message
    assert not Path("/tmp/octolog-escape").exists()


@pytest.mark.parametrize("code", ["open('here.txt', 'w').write('x')", "import json, sys\nsys.exit(0)"])
def test_a_self_contained_example_that_works_is_no_finding(tmp_path: Path, code: str) -> None:
    write(tmp_path, page_md=block("python", code, above="<!-- run -->"))
    assert found(check_snippets(tmp_path, ["page.md"], run=True)) == []


LIBRARY = '''def undocumented(a):
    return a


def shared(items=[]):
    """Keep."""
    try:
        return items
    except:
        return 1


def quiet():
    """Hush."""
    try:
        quiet()
    except Exception:
        pass
    # TODO: say something


class Thing:
    def method(self):
        x = 1
        return x
'''


def test_every_fault_of_python_code_is_cited_at_its_line(tmp_path: Path) -> None:
    long_function = '\n\ndef long():\n    """Long."""\n' + "    x = 1\n" * 61
    test = "from lib import shared, quiet\n\n\ndef test_x(): assert quiet\n"
    write(tmp_path, pkg__lib_py=LIBRARY + long_function, tests__test_lib_py=test)
    review = review_code(tmp_path, ["pkg/lib.py"])
    assert found(review) == [
        ("missing-docstring", 1),
        ("missing-docstring", 1),
        ("untested-function", 1),
        ("mutable-default", 5),
        ("bare-except", 9),
        ("swallowed-exception", 17),
        ("todo-marker", 19),
        ("missing-docstring", 22),
        ("missing-docstring", 23),
        ("long-function", 28),
        ("untested-function", 28),
    ]
    assert review.files_read == ("pkg/lib.py", "tests/test_lib.py")
    assert verify_findings(tmp_path, review.findings).confidence == 1.0


NEAR_MISSES = '''"""Fine."""
__all__ = ["api", "Kept"]
from typing import Sequence, overload


def api(items: Sequence[int] = [], other=(), *, none=None):
    """Work.

    >>> untested_but_shown()
    """
    try:
        return "TODO: not a marker", {}
    except:
        raise
    finally:
        pass


def not_exported(): return "# FIXME inside a string"


def _private(x=None): return x


class Kept(dict):
    """Kept."""

    def items(self):
        x = 1
        return x

    def tiny(self): return 1


def _handlers():
    try:
        pass
    except Exception:
        pass  # the cache is only a cache
    try:
        pass
    except ValueError:
        pass
    # This talks about the TODO list, the autoTODO and TODOs.
'''


def test_near_misses_in_python_code_are_no_findings(tmp_path: Path) -> None:
    write(tmp_path, lib_py=NEAR_MISSES, tests__test_x_py="def test_x(): pass\n")
    assert review_code(tmp_path, ["lib.py"]).findings == ()


def test_without_tests_nothing_is_called_untested(tmp_path: Path) -> None:
    write(tmp_path, lib_py='"""Lib."""\ndef alone():\n    """Do."""\n')
    assert found(review_code(tmp_path, ["lib.py"])) == []


def test_files_that_do_not_parse_are_found_in_every_language(tmp_path: Path) -> None:
    write(
        tmp_path,
        a_py="x = 1\ny = = 2\n", b_json='{"a": 1,\n}\n', c_toml="a = 1\nb =\n", d_yaml="a: [1\nb: }\n",
        e_sh="#!/bin/bash\nif true\n", f_js="// TODO: later\nlet a = '// TODO no'; // FIXME now\n",
        tsconfig_json='{"a": 1,}', tests__data__bad_py="x = = 1\n", g_yaml="a: {{ x }}: [\n",
    )  # fmt: skip
    kinds = [(finding.path, finding.kind) for finding in all_findings(tmp_path)]
    assert kinds == [
        ("a.py", "syntax-error"),
        ("b.json", "invalid-json"),
        ("c.toml", "invalid-toml"),
        ("d.yaml", "invalid-yaml"),
        ("e.sh", "invalid-bash"),
        ("f.js", "todo-marker"),
        ("f.js", "todo-marker"),
    ]
    assert verify_findings(tmp_path, all_findings(tmp_path)).refuted == ()


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
