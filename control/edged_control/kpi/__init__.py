"""Loop KPIs: how well a control loop does, from a window of its own cycles; pure and in numpy."""
