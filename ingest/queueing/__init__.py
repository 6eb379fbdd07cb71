"""Documents that wait to be indexed: handing them in, following them, and the workers that take them."""
