"""From labelled pairs to thresholds and probabilities. Pure: scores and labels in, figures out."""
