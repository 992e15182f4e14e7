"""Code: every fault is cited at its line, and near misses are no findings."""

from __future__ import annotations

from pathlib import Path

from arms.review import review_code, verify_findings
from tests.unit.review.folders import LIBRARY, all_findings, found, write


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
