"""Recorded control runs again on its recorded clock, and whatever comes out differently is told."""
