"""The comparison of what entered with what ended: its inputs, its SQL, and what the answers mean."""
