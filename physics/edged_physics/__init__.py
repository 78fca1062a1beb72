"""Glass physics without any dependency, shared by the simulator, the twin and the model-based controllers."""
