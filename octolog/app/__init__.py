"""The composition root: settings become adapters, adapters become processes that run."""
