"""South connectors read plant protocols; north connectors publish to hosts such as Ignition."""
