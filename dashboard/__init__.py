"""The web page at `/dashboard`: files, served by `handlers/dashboard.py`; no Python runs here."""
