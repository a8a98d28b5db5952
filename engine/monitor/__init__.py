"""Monitors react to frames and observe the world. They write what they saw through `ledger.note`, and run no steps."""
