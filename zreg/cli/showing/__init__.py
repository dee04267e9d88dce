"""How commands show what they found: tables, sentences, JSON, progress."""
