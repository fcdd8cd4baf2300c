"""Whole-service tests: the real process, a real broker, real sockets."""
