"""The dashboard. Knows the engine only by `engine.model` and `engine.client`."""
