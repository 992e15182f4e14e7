"""Runs a program behind walls of the kernel: its own view of files, no network, no other programs, bounded use.

`box` is what others call. It starts `launch` in a fresh interpreter, which raises the walls in this order and then
becomes the program: namespaces (`namespaces`), limits, Landlock (`landlock`), no privileges, seccomp (`seccomp`).
Each wall is probed where it is raised; the report names those that hold. This package imports nothing at its top,
because the launcher pays for every import in each run.
"""
