"""Documents: broken links and anchors, and examples that do not parse or run, each at its line."""

from __future__ import annotations

from pathlib import Path

import pytest

from arms.review import check_snippets, extract_snippets, review_documents, verify_findings
from arms.review.markdown import slug
from tests.unit.review.folders import FAULTY_MARKDOWN, found, write


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
