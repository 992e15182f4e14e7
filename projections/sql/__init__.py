"""Questions in SQL, asked by people: guarded."""
