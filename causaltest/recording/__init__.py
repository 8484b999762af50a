"""What is kept of a run beyond it."""
