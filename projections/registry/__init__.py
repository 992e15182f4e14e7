"""The arms: what they can do, how they are, how they did."""
