"""The verbs. One file each: which steps, in which order, and what must be decided before the first."""
