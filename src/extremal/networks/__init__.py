"""Networks as callable records."""
