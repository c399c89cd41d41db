"""Questions as spreadsheets, JSON Lines and Label Studio files, and answers back."""
