"""Recipes: how the models of the built-in plug-ins are made, byte for byte, from packages that anyone can fetch."""
