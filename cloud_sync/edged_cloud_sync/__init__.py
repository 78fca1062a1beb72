"""The road between an edge and the hub: wire format and uplink."""
