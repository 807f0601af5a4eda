"""What the end-to-end tests stand on: real nginx, the real daemon, the provider double, people and plugins."""
