"""Announce nodes on the LAN and see what is announced there, by mDNS: the only zeroconf."""
