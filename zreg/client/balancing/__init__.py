"""Pure: which instance of a service a call goes to. Time and chance are arguments."""
