"""Every fault of a model server, at every stage of an answer."""
