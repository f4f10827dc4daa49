"""Task queues as they are in production: real brokers and real worker processes, which are killed and frozen."""
