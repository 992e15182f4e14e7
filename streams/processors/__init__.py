"""What is run on the log."""
