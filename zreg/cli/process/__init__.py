"""What surrounds a node in its process: options, signals, logs, ports, systemd."""
