"""One aggregate: a root task with all its subtasks, their attempts, and the ledger of their budget.

`state` holds what is, `decide` what follows from a command, `evolve` what a fact changes. Read them in this
order. One tree is one aggregate because its budget needs one writer.
"""
