"""What reposters do to a picture, a clip or a text. An attack is a pure function of its input and a seeded `Random`."""
