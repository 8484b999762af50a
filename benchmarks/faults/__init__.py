"""What happens when things go wrong, or run for long: each fault is a script here, and a short form of it is a test."""
