"""The flight recorder: the boundary of control, and everything that came in through it, kept on disk."""
