"""Who moves the output: the rungs of a loop, best first, and how they are built from its settings."""
