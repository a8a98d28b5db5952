"""The panes of the main screen: each paints itself from the scene and nothing else."""
