"""The demo: real media from Python packages, attacked copies and planted bad inputs; what the job made of them."""
