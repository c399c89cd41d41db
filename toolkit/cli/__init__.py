"""The command line: one file per noun. Heavy libraries are imported inside the commands."""
