"""The promises, held against every order of events that a machine can think of."""
