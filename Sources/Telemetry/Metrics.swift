import Synchronization

/// A process's metrics in the Prometheus text format 0.0.4.
///
/// Metrics are made once and kept by their owner; updating one takes no lock but its own. A family's label sets are
/// bounded by `seriesMax`: what is beyond goes into a series whose label values are all `other`, so that outside names
/// cannot fill the memory.
public final class Metrics: Sendable {
  static let seriesMax = 1000

  private struct State {
    var families: [String: any MetricFamily] = [:]
    var collectors: [@Sendable () -> Void] = []
  }
  private let state = Mutex(State())

  public init() {}

  /// A number that only grows. Asking twice for one name gives the same family.
  public func counter(_ name: String, help: String, labels: [String] = []) -> Counter {
    family(name) { Counter(name: name, help: help, labels: labels) }
  }

  /// A number that goes up and down.
  public func gauge(_ name: String, help: String, labels: [String] = []) -> Gauge {
    family(name) { Gauge(name: name, help: help, labels: labels) }
  }

  /// The distribution of durations in seconds, over fixed buckets.
  public func histogram(
    _ name: String, help: String, labels: [String] = [],
    buckets: [Double] = [0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10]
  ) -> Histogram {
    family(name) { Histogram(name: name, help: help, labels: labels, buckets: buckets) }
  }

  /// Calls `collect` before each exposition, to set gauges that are only read then.
  public func onCollect(_ collect: @escaping @Sendable () -> Void) {
    state.withLock { $0.collectors.append(collect) }
  }

  private func family<F: MetricFamily>(_ name: String, _ make: () -> F) -> F {
    state.withLock { state in
      if let known = state.families[name] as? F { return known }
      let made = make()
      state.families[name] = made
      return made
    }
  }

  /// All families in the order of their names.
  public func exposition() -> String {
    let (families, collectors) = state.withLock { ($0.families, $0.collectors) }
    for collect in collectors { collect() }
    var text = ""
    for name in families.keys.sorted() { families[name]?.write(into: &text) }
    return text
  }
}

protocol MetricFamily: Sendable {
  func write(into text: inout String)
}

/// The series of one family by their label values.
struct Series<Value: Sendable>: Sendable {
  let name: String
  let help: String
  let type: String
  let labels: [String]
  private(set) var values: [[String]: Value] = [:]

  init(name: String, help: String, type: String, labels: [String]) {
    self.name = name
    self.help = help
    self.type = type
    self.labels = labels
  }

  mutating func update(_ labelValues: [String], initial: @autoclosure () -> Value, _ change: (inout Value) -> Void) {
    precondition(labelValues.count == labels.count, "\(name) takes \(labels.count) label values")
    if let known = values.index(forKey: labelValues) { return change(&values.values[known]) }
    let key = values.count < Metrics.seriesMax ? labelValues : labels.map { _ in "other" }
    change(&values[key, default: initial()])
  }

  func writeHead(into text: inout String) {
    text += "# HELP \(name) \(help)\n# TYPE \(name) \(type)\n"
  }

  func render(_ labelValues: [String], extra: String = "") -> String {
    var parts = zip(labels, labelValues).map { label, value in
      let escaped = value.reduce(into: "") { text, character in
        switch character {
        case "\\": text += "\\\\"
        case "\"": text += "\\\""
        case "\n": text += "\\n"
        default: text.append(character)
        }
      }
      return "\(label)=\"\(escaped)\""
    }
    if !extra.isEmpty { parts.append(extra) }
    return parts.isEmpty ? "" : "{\(parts.joined(separator: ","))}"
  }

  var sorted: [(labels: [String], value: Value)] {
    values.sorted { $0.key.lexicographicallyPrecedes($1.key) }.map { (labels: $0.key, value: $0.value) }
  }
}

public final class Counter: MetricFamily {
  private let series: Mutex<Series<Double>>

  init(name: String, help: String, labels: [String]) {
    series = Mutex(Series(name: name, help: help, type: "counter", labels: labels))
  }

  public func increment(_ labelValues: String..., by amount: Double = 1) {
    series.withLock { $0.update(labelValues, initial: 0) { $0 += amount } }
  }

  func write(into text: inout String) {
    let series = series.withLock { $0 }
    series.writeHead(into: &text)
    for (labels, value) in series.sorted { text += "\(series.name)\(series.render(labels)) \(value)\n" }
  }
}

public final class Gauge: MetricFamily {
  private let series: Mutex<Series<Double>>

  init(name: String, help: String, labels: [String]) {
    series = Mutex(Series(name: name, help: help, type: "gauge", labels: labels))
  }

  public func set(_ labelValues: String..., to value: Double) {
    series.withLock { $0.update(labelValues, initial: 0) { $0 = value } }
  }

  func write(into text: inout String) {
    let series = series.withLock { $0 }
    series.writeHead(into: &text)
    for (labels, value) in series.sorted { text += "\(series.name)\(series.render(labels)) \(value)\n" }
  }
}

public final class Histogram: MetricFamily {
  struct Distribution: Sendable {
    var counts: [UInt64]
    var sum = 0.0
    var count: UInt64 = 0
  }

  private let buckets: [Double]
  private let series: Mutex<Series<Distribution>>

  init(name: String, help: String, labels: [String], buckets: [Double]) {
    self.buckets = buckets
    series = Mutex(Series(name: name, help: help, type: "histogram", labels: labels))
  }

  /// Adds one observation in seconds.
  public func observe(_ labelValues: String..., seconds: Double) {
    series.withLock { series in
      series.update(labelValues, initial: Distribution(counts: Array(repeating: 0, count: buckets.count))) {
        if let bucket = buckets.firstIndex(where: { seconds <= $0 }) { $0.counts[bucket] += 1 }
        $0.sum += seconds
        $0.count += 1
      }
    }
  }

  func write(into text: inout String) {
    let series = series.withLock { $0 }
    series.writeHead(into: &text)
    for (labels, value) in series.sorted {
      var cumulative: UInt64 = 0
      for (bound, count) in zip(buckets, value.counts) {
        cumulative += count
        text += "\(series.name)_bucket\(series.render(labels, extra: "le=\"\(bound)\"")) \(cumulative)\n"
      }
      text += "\(series.name)_bucket\(series.render(labels, extra: "le=\"+Inf\"")) \(value.count)\n"
      text += "\(series.name)_sum\(series.render(labels)) \(value.sum)\n"
      text += "\(series.name)_count\(series.render(labels)) \(value.count)\n"
    }
  }
}
