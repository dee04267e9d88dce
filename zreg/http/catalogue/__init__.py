"""The pages of a session about services, clients, nodes and settings."""
