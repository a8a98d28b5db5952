"""Runs the package `holder` beside it, and no more of the engine: `python -I -S run.py <socket> <seconds>`."""

import importlib
import os
import sys

if __name__ == "__main__":
    sys.path.append(os.path.dirname(os.path.abspath(__file__)))
    importlib.import_module("holder.serve").main(sys.argv[1], float(sys.argv[2]))
