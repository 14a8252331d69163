"""`tapeline view`: a local page on which one scrubs through a session, event by event."""
