/// Which pulls run, which wait, and who waits for them: one pull for all who ask for the same, a bounded number at a
/// time, in the order of asking. Pure; `PullCoordinator` does the IO.
///
/// A flight that nobody waits for any more is cancelled. Until it has ended it keeps its place among those that run, and
/// whoever asks for the same meanwhile begins a flight of their own: a pull that is being broken off helps nobody.
struct PullSchedule<Key: Hashable & Sendable>: Sendable {
  enum Effect: Sendable, Equatable {
    case begin(flight: Int, key: Key)
    case cancel(flight: Int)
  }

  private struct Flight: Sendable {
    var key: Key
    var waiters: [Int]
    var isRunning = false
  }

  let parallelMax: Int
  private var flights: [Int: Flight] = [:]
  /// The flight that newcomers join.
  private var open: [Key: Int] = [:]
  /// Flights that wait for their turn, in order.
  private var queue: [Int] = []
  private var flightOf: [Int: Int] = [:]
  private var nextFlight = 0

  /// - Parameter parallelMax: at least one.
  init(parallelMax: Int) { self.parallelMax = max(1, parallelMax) }

  var runningCount: Int { flights.values.count(where: \.isRunning) }
  var isEmpty: Bool { flights.isEmpty }

  /// Somebody asks. A waiter's number is never used twice.
  mutating func joined(_ waiter: Int, for key: Key) -> [Effect] {
    if let flight = open[key] {
      flights[flight]?.waiters.append(waiter)
      flightOf[waiter] = flight
      return []
    }
    nextFlight += 1
    flights[nextFlight] = Flight(key: key, waiters: [waiter])
    open[key] = nextFlight
    flightOf[waiter] = nextFlight
    queue.append(nextFlight)
    return beginNext()
  }

  /// Somebody no longer waits. One whose flight has ended is not known any more, and that is no error.
  mutating func left(_ waiter: Int) -> [Effect] {
    guard let id = flightOf.removeValue(forKey: waiter), var flight = flights[id] else { return [] }
    flight.waiters.removeAll { $0 == waiter }
    flights[id] = flight
    guard flight.waiters.isEmpty else { return [] }
    if open[flight.key] == id { open[flight.key] = nil }
    if flight.isRunning { return [.cancel(flight: id)] }
    flights[id] = nil
    queue.removeAll { $0 == id }
    return []
  }

  /// A flight that ran has come to its end, however.
  ///
  /// - Returns: who is to be told, in the order of asking.
  mutating func ended(_ id: Int) -> (waiters: [Int], effects: [Effect]) {
    guard let flight = flights.removeValue(forKey: id) else { return ([], []) }
    if open[flight.key] == id { open[flight.key] = nil }
    for waiter in flight.waiters { flightOf[waiter] = nil }
    return (flight.waiters, beginNext())
  }

  private mutating func beginNext() -> [Effect] {
    var effects: [Effect] = []
    var running = runningCount
    while running < parallelMax, !queue.isEmpty {
      let id = queue.removeFirst()
      guard let key = flights[id]?.key else { continue }
      flights[id]?.isRunning = true
      running += 1
      effects.append(.begin(flight: id, key: key))
    }
    return effects
  }
}
