"""What needs the image store and something else: registries, containers, Docker's rules."""
