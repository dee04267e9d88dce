"""Meta: who is in the cluster."""
