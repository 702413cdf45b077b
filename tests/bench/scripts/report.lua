-- The summary of a run as one line of JSON after BENCH, for tests/bench/load.py.
function done(summary, latency, requests)
  local e = summary.errors
  io.stdout:write(string.format(
    'BENCH {"requests": %d, "microseconds": %d, "p50": %d, "p99": %d, "max": %d, ' ..
    '"status": %d, "connect": %d, "read": %d, "write": %d, "timeout": %d}\n',
    summary.requests, summary.duration, latency:percentile(50), latency:percentile(99), latency.max,
    e.status, e.connect, e.read, e.write, e.timeout))
end
