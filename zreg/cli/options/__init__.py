"""The options of nodes: from arguments, the environment and files."""
