"""The pure core: no Kafka, no clock, no randomness, no I/O."""
