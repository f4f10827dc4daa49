"""What needs an optional dependency: one module and one extra for each. Nothing else imports them."""
