"""What is on the screen, as pure functions of the world: lines of text with a tone, no widget anywhere."""
