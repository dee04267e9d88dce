"""What clients on threads and clients on an event loop have in common, as the program sees it."""
