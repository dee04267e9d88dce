"""Meta's decisions: the members and the settings of the cluster, agreed on by Raft."""
