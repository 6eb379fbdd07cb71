"""`pincite reembed` and `pincite generations`: a generation of the index is built, judged, moved to and dropped."""
