"""Commands about the cluster as a whole: is it well, which nodes are reached."""
