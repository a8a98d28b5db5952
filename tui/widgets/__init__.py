"""Widgets of our own: few, and quiet on the wire."""
