"""Episodic memory: what an arm lived through, for itself alone, for as long as the log's clock says."""
