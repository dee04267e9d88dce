"""Random lives of whole clusters, each from one seed."""
