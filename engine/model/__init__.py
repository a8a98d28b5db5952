"""Pure data: what a container, an image, a network, a run and a frame are. Imports nothing of ours."""
