"""Tests of the pure views."""
