"""Proving the log: verification, bundles, a broker's disk."""
