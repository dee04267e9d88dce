"""The client's connection: which session, in which phase, of which cluster."""
