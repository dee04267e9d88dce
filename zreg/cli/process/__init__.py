"""What a node needs of its process: settings, signals, logs, ports, systemd."""
