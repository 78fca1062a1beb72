"""Control on the edge: limits, the gate, controllers and the loop that joins them."""
