"""Requests that a session passes on to meta or to all data nodes."""
