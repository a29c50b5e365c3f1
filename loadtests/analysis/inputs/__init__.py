"""What the analysis reads: records, windows, ledgers, CPU."""
