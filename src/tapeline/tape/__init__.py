"""From records to tape events: the normaliser."""
