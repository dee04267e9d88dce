"""The command line: arguments, settings, signals, exit codes; the only place that prints."""
