"""Models with known answers. They are found by entry point, so that no other room imports them."""
