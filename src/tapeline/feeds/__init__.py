"""Feeds: each turns its vendor's bytes into records."""
