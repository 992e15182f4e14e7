"""The notary: signs, at intervals, the root over the facts of each partition, so that no later edit stays unseen.

| module | does |
|---|---|
| `keys` | the keys of this home: made on first use, changed by `octolog audit rotate-key` |
| `notary` | follows the facts, checks them by their hashes, and signs checkpoints |
| `witness` | reads checkpoints and keys back, and believes those whose signatures are right |
"""
