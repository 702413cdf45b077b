"""The Kubernetes API as the tuner uses it: plain JSON in and out, and errors that say what to do."""
