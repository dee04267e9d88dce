"""The only code that touches sockets and files: links, and the journal."""
