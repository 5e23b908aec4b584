"""Ground floor: what a material is. Records, typed errors, parsing and text normalisation; imports nothing of ours."""
