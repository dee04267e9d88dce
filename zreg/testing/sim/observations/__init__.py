"""What a simulation writes down: records sent, views seen, work done."""
