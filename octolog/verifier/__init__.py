"""Checks an audit bundle without Kafka, without octolog, with the standard library alone.

A bundle carries a copy of this package and of `octolog.domain.proof`: `python BUNDLE` runs it. Nothing here may
import anything else; a test runs it in an empty virtual environment.

| module | does |
|---|---|
| `report` | what is wrong, and where |
| `zipped` | the archive's form, which leaves no choice |
| `archive` | the file: every byte that is not a part's own, and the sums of the parts |
| `records` | the records in it, one after the other, as they lay in the log |
| `facts` | hashes, chains, positions, causes |
| `signatures` | keys, checkpoints, proofs |
| `verify` | all of it, and the command line |
"""
