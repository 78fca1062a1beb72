"""Benchmarks, outage drills, the checker and the demo: each runs alone by `python -m bench NAME`."""
