"""What was measured, kept on disk under everything that could change it. No torch, no numpy."""
