"""The projections in DuckDB: followed, served, asked, built anew."""
