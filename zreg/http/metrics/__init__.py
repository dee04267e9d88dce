"""`/metrics`: the statistics of a node in the text format of Prometheus."""
