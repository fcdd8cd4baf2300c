"""Whole-service tests of the log: its queries, its properties, and what is done in bulk."""
