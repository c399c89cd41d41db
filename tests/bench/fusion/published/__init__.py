"""The peers of the fusion model: SMART's published model, and models of votes alone."""
