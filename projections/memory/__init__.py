"""Semantic memory: what the log says was learned, searchable by meaning and by word, now or as of an offset."""
