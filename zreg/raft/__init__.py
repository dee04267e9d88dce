"""Raft as a pure core: messages and ticks in, one `Ready` out; no socket, clock, file or log.

Reading order: `ready`, `quorum`, `configuration`, `log`, `progress`, `read_index`, `following`,
`election`, `leadership`, and last `consensus`, which joins them to `RaftCore`.
"""
