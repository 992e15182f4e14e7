"""The wire contract: Avro schemas, their codec, catalog and compatibility rules."""
