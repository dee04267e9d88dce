"""Pure: the hops that the nodes noted of one id, joined to changes on one time line."""
