"""What the coder knows of code by reading it, running its tests in a box, and asking the tools people use."""
