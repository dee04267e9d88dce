"""How a program keeps a registry with each system, through that system's own Python client.

Only a worker process imports these modules, and only that of its own system.
"""
