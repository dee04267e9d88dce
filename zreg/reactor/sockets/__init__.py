"""The ZeroMQ sockets of a reactor: the only imports of zmq in the project."""
