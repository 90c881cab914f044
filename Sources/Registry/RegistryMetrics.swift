import Telemetry

/// The registry's metrics. Labels hold no names from outside.
struct RegistryMetrics: Sendable {
  private let metrics: Metrics
  let requests: Counter
  let latency: Histogram
  let received: Counter
  let sent: Counter
  let denied: Counter
  let upstreamHits: Counter
  let evicted: Counter
  let events: Counter
  let replications: Counter
  let replicaQueue: Gauge
  let collected: Counter
  let damaged: Gauge
  let scrubbed: Counter
  let repaired: Counter

  init(_ metrics: Metrics) {
    self.metrics = metrics
    requests = metrics.counter(
      "apus_registry_requests_total", help: "Requests answered.", labels: ["endpoint", "method", "code"])
    latency = metrics.histogram(
      "apus_registry_request_duration_seconds", help: "Time to an answer's head, uploads included.",
      labels: ["endpoint", "method"])
    received = metrics.counter("apus_registry_received_bytes_total", help: "Bytes of blobs and manifests taken in.")
    sent = metrics.counter("apus_registry_sent_bytes_total", help: "Bytes of blobs and manifests of answers.")
    denied = metrics.counter(
      "apus_registry_denied_total", help: "Requests refused for lack of rights, quota or patience.", labels: ["reason"])
    upstreamHits = metrics.counter(
      "apus_registry_upstream_requests_total", help: "Requests below a prefix of an upstream registry.",
      labels: ["result"])
    evicted = metrics.counter(
      "apus_registry_evicted_bytes_total", help: "Bytes of upstream registries' blobs deleted to keep within the bound."
    )
    events = metrics.counter(
      "apus_registry_events_total", help: "Notifications by what became of them.", labels: ["result"])
    replications = metrics.counter(
      "apus_registry_replications_total", help: "Transfers to replicas.", labels: ["result"])
    replicaQueue = metrics.gauge("apus_registry_replication_queue", help: "Manifests that wait for a replica.")
    collected = metrics.counter(
      "apus_registry_garbage_bytes_total", help: "Bytes deleted by garbage collection.")
    damaged = metrics.gauge("apus_registry_damaged_blobs", help: "Damaged blobs found by the last scrub.")
    scrubbed = metrics.counter(
      "apus_registry_scrubbed_bytes_total", help: "Bytes read again and found as they should be.")
    repaired = metrics.counter(
      "apus_registry_repaired_blobs_total", help: "Damaged blobs brought again from an upstream registry or a replica.")
  }

  func observeConnections(_ count: @escaping @Sendable () -> Int) {
    let gauge = metrics.gauge("apus_registry_connections", help: "Open client connections.")
    metrics.onCollect { gauge.set(to: Double(count())) }
  }

  func exposition() -> String { metrics.exposition() }
}
