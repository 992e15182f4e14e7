"""How octolog is set up to run: the embedded Kafka broker, its jars, and the topics."""
