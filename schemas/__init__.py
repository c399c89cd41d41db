"""What data is: tables, keys, recipes and errors. Imports nothing else of Preceptor."""
