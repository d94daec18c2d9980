"""Capture from topics in Debezium's JSON envelope: read from Kafka by position, with no Debezium client."""
