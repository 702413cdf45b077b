"""Where the stack can run: one folder a platform, all behind `port.Platform`."""
