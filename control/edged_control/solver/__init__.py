"""The process that solves for the loops: asked once in a period, in time or not at all, and never waited for."""
