"""Sockets that bind, and what a reactor knows of those that connect to them."""
