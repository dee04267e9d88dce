"""Who is in the cluster: joins, leases, departures, and the steps of the membership."""
