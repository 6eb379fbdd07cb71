"""The HTTP mouth: keys, routes, errors on the wire, the page at `/`."""
