"""The ways to choose one of the instances that may be picked."""
