"""A language model as a judge of answers, and what its word is worth: a second opinion beside the measures."""
