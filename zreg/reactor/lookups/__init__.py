"""Names and addresses: looked up on threads of their own, checked before they are used."""
