"""Java archives that no Python wheel carries: Kafka's broker, and Flink's connector to it."""
