"""The platforms, one file a site: `collect.platform` finds each by its name, and nothing else imports them."""
