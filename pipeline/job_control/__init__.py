"""Jobs that run for long on a session cluster: what is remembered of them, how they are stopped and resumed."""
