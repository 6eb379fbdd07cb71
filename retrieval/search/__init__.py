"""Two legs, by meaning and by words, and how their findings become one order."""
