"""The envelope of each writable signal, and how limits are changed while the daemon runs."""
