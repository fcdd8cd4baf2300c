"""Numbered SQL files: each is one version of the schema, applied in one transaction."""
