"""The records, one module per link, and the types of their fields."""
