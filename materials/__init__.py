"""Ground floor: what a material is. Pure records, typed errors, parsing and text normalisation; imports nothing of ours."""
