"""Random faults of real nodes and links, by seed: `python -m zreg.testing.processes.chaos`."""
