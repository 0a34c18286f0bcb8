"""PostgreSQL and nats-server as child processes: an account, a supervised process, and one file for each engine."""
