"""One module for each group of figures. Each function measures one system once, on a new server."""
