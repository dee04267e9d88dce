"""The dashboard at `/` of a session: files that the browser loads once; their figures are JSON."""
