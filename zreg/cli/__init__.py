"""The command line: arguments, settings, signals and exit codes; the only package that prints."""
