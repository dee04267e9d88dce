"""The proxy through which the links of a cluster pass; see `LinkProxy`."""
