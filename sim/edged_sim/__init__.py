"""A simulated glass line behind real OPC UA, Modbus TCP and MQTT faces."""
