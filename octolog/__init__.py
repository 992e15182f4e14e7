"""octolog: the log-native home for LLM agents."""
