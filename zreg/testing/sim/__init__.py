"""The simulator: production cores in one process, in virtual time, from one seed."""
