"""Building blocks of several roles: mirror, op log, digest, ring, lease, backoff, requests."""
