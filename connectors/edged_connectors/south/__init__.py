"""South connectors: one module per protocol, and the one runner that they share."""
