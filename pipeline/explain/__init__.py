"""Explanations of pairs for people: sentences, pictures, pages."""
