"""What a single notebook needs."""
