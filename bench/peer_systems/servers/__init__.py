"""How the server of each system is started on loopback, for one measurement."""
