"""`python -m edged_sim`: how the plant's process starts the processes of its faces."""

from edged_sim.cli import main

main()
