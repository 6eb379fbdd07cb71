"""Evaluations of Pincite: sample corpora, golden questions and the code that scores them."""
