"""Who is in the cluster: joins, leases and departures, as the leader decides them."""
