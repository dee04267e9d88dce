"""A replica's side of copies, and what data nodes answer each other."""
