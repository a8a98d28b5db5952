"""The engine's socket: the Docker Engine API, one file per noun, and our own routes below `/longshore`."""
