"""Glass physics in numpy, shared by the simulator, the twin and the model-based controllers."""
