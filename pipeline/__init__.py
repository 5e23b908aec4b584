"""Top floor: the Flink job, the operators that join the rooms, and the command line."""
