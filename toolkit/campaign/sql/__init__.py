"""The queries behind questions and answers."""
