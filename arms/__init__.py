"""The arms, which do the work, and their host."""
