"""What model calls cost: own prices first, then a library's published ones; never a guess."""
