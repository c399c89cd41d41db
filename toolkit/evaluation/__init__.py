"""How well models answer held-out prompts of a built dataset: answers in, figures with intervals out."""
