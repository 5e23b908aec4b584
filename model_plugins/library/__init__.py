"""The model library: versions of models with their cards, verification, aliases, and deployment to running servers."""
