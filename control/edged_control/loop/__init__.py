"""One control loop: scans, proposes, writes through the gate, reads back and remembers."""
