"""What reconciliation found: the report, its figures, and how it is shown and kept."""
