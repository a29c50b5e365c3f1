"""What the mock did."""
