"""Which nodes the LAN announces, what is believed of it, and which of their addresses to try."""
