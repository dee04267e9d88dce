"""Requests that a session passes on: to the leader of meta, or to all data nodes."""
