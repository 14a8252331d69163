"""Books, what strategies see of them, and features."""
