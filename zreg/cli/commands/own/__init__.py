"""Commands about this installation: versions, configuration, completion."""
