"""The wire contract: Avro schemas, the catalog that binds them to classes, and the codec."""
