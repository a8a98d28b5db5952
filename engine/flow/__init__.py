"""The mechanism: steps that can be taken back, a runner that walks them, a ledger that remembers. Knows no container."""
