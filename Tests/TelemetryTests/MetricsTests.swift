import Testing

@testable import Telemetry

@Suite struct MetricsTests {
  @Test func writesThePrometheusFormat() {
    let metrics = Metrics()
    let requests = metrics.counter("requests_total", help: "Requests.", labels: ["verb", "code"])
    requests.increment("GET", "200")
    requests.increment("GET", "200")
    requests.increment("we\"ird\n", "500", by: 3)
    metrics.gauge("pods", help: "Pods.").set(to: 4)
    let latency = metrics.histogram("latency_seconds", help: "Latency.", buckets: [0.1, 1])
    latency.observe(seconds: 0.05)
    latency.observe(seconds: 0.5)
    latency.observe(seconds: 5)
    #expect(
      metrics.exposition() == """
        # HELP latency_seconds Latency.
        # TYPE latency_seconds histogram
        latency_seconds_bucket{le="0.1"} 1
        latency_seconds_bucket{le="1.0"} 2
        latency_seconds_bucket{le="+Inf"} 3
        latency_seconds_sum 5.55
        latency_seconds_count 3
        # HELP pods Pods.
        # TYPE pods gauge
        pods 4.0
        # HELP requests_total Requests.
        # TYPE requests_total counter
        requests_total{verb="GET",code="200"} 2.0
        requests_total{verb="we\\"ird\\n",code="500"} 3.0

        """)
  }

  @Test func boundsTheSeries() {
    let metrics = Metrics()
    let counter = metrics.counter("names_total", help: "Names.", labels: ["name"])
    for index in 0..<(Metrics.seriesMax + 10) { counter.increment("n\(index)") }
    #expect(metrics.exposition().contains("names_total{name=\"other\"} 10.0"))
  }

  @Test func givesTheSameFamilyTwice() {
    let metrics = Metrics()
    metrics.counter("a_total", help: "A.").increment()
    metrics.counter("a_total", help: "A.").increment()
    #expect(metrics.exposition().contains("a_total 2.0"))
  }
}
