"""Parse the command line: commands loaded when they are called, values converted quickly."""
