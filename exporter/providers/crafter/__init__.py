"""CrafterCMS Studio."""
