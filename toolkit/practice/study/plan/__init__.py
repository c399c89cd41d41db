"""What a study asks of whom: items, explanations and their chances, the order of items, the class."""
