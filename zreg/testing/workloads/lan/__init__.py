"""Lives of clusters that know no address and look at the LAN."""
