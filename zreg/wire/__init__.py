"""What is on the wire: `messages` has the records, `codec` their bytes, `envelope` the header."""
