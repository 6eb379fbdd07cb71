"""A generation of the index built beside the live one, and the moves between them."""
