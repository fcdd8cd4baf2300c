"""Something to see: the service with a small simulated factory that talks to it.

`python -m demo` (`make demo`) runs it. A program of its own: it starts server.py as anybody
would, speaks to it over HTTP alone, and imports nothing of the service.
"""
