"""The client against the real service and a real broker, over good networks and bad ones."""
