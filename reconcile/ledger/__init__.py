"""The ledger: files of what entered a job and what ended, and which runs wrote them."""
