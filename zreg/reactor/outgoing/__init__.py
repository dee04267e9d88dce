"""What leaves a reactor: effects carried out, records collected per peer, backlogs, headers."""
