"""What a plug-in author starts from: a package that runs, and its check."""
