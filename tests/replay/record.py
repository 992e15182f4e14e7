"""Record histories: `python -m tests.replay.record [--all | NAME ...]`.

A history that exists is the past: it is written anew only on purpose, when the format of the facts has changed
before a release. A new scenario gets its history here.
"""

from __future__ import annotations

import sys

from tests.replay.history import FOLDER, lines_of
from tests.replay.scenarios import SCENARIOS


def main(arguments: list[str]) -> int:
    names = list(SCENARIOS) if arguments == ["--all"] else arguments
    unknown = [name for name in names if name not in SCENARIOS]
    if not names or unknown:
        sys.stderr.write(f"{__doc__}\nscenarios: {', '.join(SCENARIOS)}\n")
        return 2
    FOLDER.mkdir(exist_ok=True)
    for name in names:
        text = "\n".join(lines_of(SCENARIOS[name]())) + "\n"
        (FOLDER / f"{name}.jsonl").write_text(text, encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
