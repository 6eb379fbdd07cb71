"""From a question to a cited answer. The ground floor: it owns the words, the pool, the models and the reads."""
