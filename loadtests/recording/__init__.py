"""What is recorded: histograms, slices, phases, messages."""
