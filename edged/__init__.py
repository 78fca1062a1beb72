"""edged: an edge-first gateway daemon for factory lines."""

__version__ = "0.1.0"
