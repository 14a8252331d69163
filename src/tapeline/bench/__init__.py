"""`tapeline bench`: how fast this machine runs what, against the floor measured beside it, and whether what was timed is right."""
