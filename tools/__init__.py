"""The commands of `server.py` beside serving. They may use every floor below the root."""
