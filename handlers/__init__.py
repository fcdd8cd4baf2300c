"""HTTP and WebSocket: what the world sees. Beside server.py the only importer of tornado.web."""
