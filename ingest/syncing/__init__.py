"""Sources that the index follows: folders, object stores, git repositories, websites."""
