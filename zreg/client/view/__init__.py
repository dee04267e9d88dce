"""What programs publish and see: endpoints, values, views and their changes."""
