"""The fictional sample corpus and the module that builds it."""
