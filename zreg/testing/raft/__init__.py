"""The simulator of Raft alone: its nodes, faults, clients, checks and mutations."""
