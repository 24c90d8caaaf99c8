"""The actor process: steps environments, acts, records episodes and sends them. Imports no torch."""
