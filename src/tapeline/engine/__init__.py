"""The compiled engine: time, orders, the venue and what is recorded."""
