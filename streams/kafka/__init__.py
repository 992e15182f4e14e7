"""The only home of confluent-kafka: everything else in octolog speaks the ports."""
