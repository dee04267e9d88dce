"""The pages with which programs without a client register instances; the only ones that write."""
