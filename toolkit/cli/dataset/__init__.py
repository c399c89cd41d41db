"""Commands from the fit to the published dataset."""
