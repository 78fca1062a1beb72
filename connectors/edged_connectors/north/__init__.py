"""North connectors: the Sparkplug B codec and edge node."""
