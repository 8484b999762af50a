"""How things are written down: canonical and exact JSON, arrays in safetensors, effects as plain data."""
