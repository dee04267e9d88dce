"""Raft as a pure core: it takes messages and ticks and returns a `Ready`; it does no I/O.

Reading order: `ready`, `quorum`, `configuration`, `log`, `progress`, `read_index`, `follower`,
`election`, `log_replication`, `leader_transfer`, `leadership`, `node_state`, `responder`, and last
`consensus`, which joins them to `RaftCore`.
"""
