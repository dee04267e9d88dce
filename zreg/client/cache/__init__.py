"""The last known views on disk, so that a program starts while the registry is down."""
