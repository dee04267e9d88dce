"""A reader of the pages of sessions."""
