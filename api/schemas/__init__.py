"""The wire: what requests may say and what responses promise. Built from the nouns in retrieval/domain.py."""
