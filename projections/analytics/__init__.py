"""Typed tables over every record of the log, and views that answer the usual questions."""
