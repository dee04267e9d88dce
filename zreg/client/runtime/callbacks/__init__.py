"""The ways to run the callbacks of subscriptions."""
