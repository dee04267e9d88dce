"""The network interfaces of a machine: what they lead to, and which of them a node uses."""
