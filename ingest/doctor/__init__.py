"""`pincite doctor`: whether the index is what its documents say, and the server what the index needs."""
