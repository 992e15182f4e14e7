"""Chain of custody and lineage of a task, from the tables that `projections.analytics` fills."""
