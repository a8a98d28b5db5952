"""Pure functions: what was asked for becomes settings, a specification, a result. No I/O."""
