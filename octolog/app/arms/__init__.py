"""Hosting arms: the built-in ones with their equipment, and others' own."""
