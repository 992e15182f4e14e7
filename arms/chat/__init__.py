"""Conversations with a model: messages, tools, turns that the handler counts, and a history that can be kept."""
