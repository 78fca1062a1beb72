"""Model predictive control, linear and nonlinear; numpy and the solvers are loaded in the solver's process alone."""
