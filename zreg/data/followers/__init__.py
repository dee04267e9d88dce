"""Those that follow datums: hints at what changed, and the answers to fetches."""
