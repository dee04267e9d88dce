"""What candidates and leaders do: elections, log replication, reads, and handing over the lead."""
