import Wire

/// Slows down whoever guesses passwords: after a few failures an address and a user name have to wait, twice as long each
/// time.
///
/// Pure: the time comes in. Memory is bounded; what is oldest goes first.
struct LoginLimiter: Sendable {
  struct Limits: Sendable {
    /// So many failures cost nothing: people mistype.
    var freeFailures = 5
    var firstDelay = Duration.seconds(1)
    var longestDelay = Duration.seconds(300)
    /// Failures are forgotten after so much quiet.
    var memory = Duration.seconds(900)
    var entriesMax = 10_000
  }

  private struct Entry {
    var failures = 0
    var last = Timestamp(microseconds: 0)
    var blockedUntil = Timestamp(microseconds: 0)
  }

  private let limits: Limits
  private var entries: [String: Entry] = [:]

  init(limits: Limits = Limits()) { self.limits = limits }

  /// How long the key has to wait; `nil` when it may try.
  func wait(_ key: String, now: Timestamp) -> Duration? {
    guard let entry = entries[key], entry.blockedUntil > now else { return nil }
    return entry.blockedUntil.since(now)
  }

  /// Whether it has failed lately.
  func hasFailed(_ key: String, now: Timestamp) -> Bool {
    entries[key].map { now.since($0.last) <= limits.memory } ?? false
  }

  mutating func failed(_ key: String, now: Timestamp) {
    if entries[key] == nil, entries.count >= limits.entriesMax { makeRoom(now) }
    var entry = entries[key] ?? Entry()
    if now.since(entry.last) > limits.memory { entry.failures = 0 }
    entry.failures += 1
    entry.last = now
    let beyond = entry.failures - limits.freeFailures
    if beyond > 0 {
      let delay = min(limits.longestDelay, limits.firstDelay * (1 << min(beyond - 1, 20)))
      entry.blockedUntil = now.adding(delay)
    }
    entries[key] = entry
  }

  mutating func succeeded(_ key: String) { entries[key] = nil }

  private mutating func makeRoom(_ now: Timestamp) {
    entries = entries.filter { now.since($0.value.last) <= limits.memory }
    guard entries.count >= limits.entriesMax else { return }
    let oldest = entries.sorted { $0.value.last < $1.value.last }.prefix(limits.entriesMax / 10)
    for (key, _) in oldest { entries[key] = nil }
  }

  var count: Int { entries.count }
}
