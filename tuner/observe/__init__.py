"""What was measured: Prometheus asked, samples turned into an Observation, absences typed."""
