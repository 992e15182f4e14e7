"""How the judge holds a result against criteria, a schema and sources; with rules as far as rules go."""
