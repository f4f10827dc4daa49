"""An optional app: signed webhooks about deliveries to the shop's other systems. docs/relay.md introduces it."""
