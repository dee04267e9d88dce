"""What users and we test with: a cluster of production cores in one process, by seed."""
