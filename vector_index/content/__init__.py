"""Operations on content IDs: verdicts, merges, splits, their history, explanations, and the replay of a log."""
