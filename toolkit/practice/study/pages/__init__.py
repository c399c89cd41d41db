"""The pages of a study, as a web server on this machine."""
