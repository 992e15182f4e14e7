"""The evaluator of operator programs, advanced by facts. `docs/reference/operators.md` says what operators mean.

`program` is a program made ready for evaluation, `legal` says which are; `text`, `outputs` and `history` know
texts; `environment` and `context` look outward from a task; `given` is what an attempt gets; `fold` is what facts
change; `agenda` with `steps`, `endings` and `recovery` decides what comes next.
"""
