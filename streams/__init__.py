"""The stream processors: contracts and results in, facts and assignments out, exactly once."""
