"""What went in and what came out: the retry queue, the ledger, reconciliation."""
