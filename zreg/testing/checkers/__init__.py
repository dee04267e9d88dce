"""What must hold, checked from outside while a simulation runs."""
