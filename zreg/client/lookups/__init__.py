"""What a program asks its session: which ids are published, and the settings of the cluster."""
