"""The simulator of Raft alone: nodes, faults, clients, checks and mutations."""
