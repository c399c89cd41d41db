"""The stages of training: one file and one line of registry.py each."""
