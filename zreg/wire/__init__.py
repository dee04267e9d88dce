"""Floor 1: what travels. `messages` are the records, `codec` their bytes, `envelope` the header."""
