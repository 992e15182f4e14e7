"""The processes of one machine: starting, watching and stopping them, and how they are."""
