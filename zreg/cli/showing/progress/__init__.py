"""How far a command is that takes its time."""
