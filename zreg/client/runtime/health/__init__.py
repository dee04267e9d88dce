"""The checks of a client's publications: their timer, their calls, and what they change."""
