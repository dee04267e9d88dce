"""The simulated network: connections, delays, losses and cuts."""
