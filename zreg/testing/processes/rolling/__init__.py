"""Data nodes killed one after the other: `python -m zreg.testing.processes.rolling`."""
