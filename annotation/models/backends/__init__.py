"""Back-ends: endpoints and transformers, what each can do."""
