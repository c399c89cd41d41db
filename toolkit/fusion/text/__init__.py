"""What texts tell before anybody judges them: features for the prior's mean, what length is worth."""
