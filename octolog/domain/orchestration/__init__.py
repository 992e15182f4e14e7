"""Bringing a task to its goal: plans that are refused or made again, verdicts, repairs, and people who are asked."""
