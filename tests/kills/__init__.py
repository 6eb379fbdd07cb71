"""kill -9 of API, workers and database under load: what was acknowledged is what is there."""
