"""Training: one plain loop for all stages, and the same loop on Ray Train workers in a file of its own."""
