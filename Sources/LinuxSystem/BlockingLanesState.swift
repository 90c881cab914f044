/// Which calls run, which wait and which hang: the rules of `BlockingLanes` as a value apart from threads.
///
/// Not thread-safe: its owner keeps it under a lock.
struct BlockingLanesState {
  struct Call: Equatable {
    var id: UInt64
    /// Calls of one lane run one after another; without a lane a call waits for nobody's end.
    var lane: String?
    /// What it does, for errors: `open hostPath /mnt/x`.
    var what: String
  }

  enum Refusal: Equatable {
    /// As many wait as may.
    case isFull
    /// An earlier call of the lane is past its deadline and has not returned.
    case laneHangs(what: String)
  }

  /// What the end of a call's time meant for it.
  enum Expiry: Equatable {
    /// It had returned.
    case isOver
    /// It had not begun, and does not begin any more.
    case dropped
    /// It runs on, on a thread that is left to it.
    case hangs
  }

  let limits: BlockingLanes.Limits
  private(set) var waiting: [Call] = []
  private(set) var running: [UInt64: Call] = [:]
  /// Past their deadline.
  private(set) var stuck: [UInt64: Call] = [:]
  private var busy: Set<String> = []

  init(limits: BlockingLanes.Limits) { self.limits = limits }

  /// `nil`: it waits for its turn, which `next` tells.
  mutating func asked(_ call: Call) -> Refusal? {
    if let lane = call.lane, let hanging = stuck.values.first(where: { $0.lane == lane }) {
      return .laneHangs(what: hanging.what)
    }
    // One that can begin at once waits for nothing.
    guard waiting.count < limits.waitingMax || canBegin(call) else { return .isFull }
    waiting.append(call)
    return nil
  }

  /// The next call that may begin: the first one whose lane is free. It runs from now on.
  mutating func next() -> Call? {
    guard hasThread, let index = waiting.firstIndex(where: { isFree($0.lane) }) else { return nil }
    let call = waiting.remove(at: index)
    running[call.id] = call
    if let lane = call.lane { busy.insert(lane) }
    return call
  }

  /// A call returned.
  ///
  /// - Returns: whether that was after its deadline.
  mutating func returned(_ id: UInt64) -> Bool {
    if let call = running.removeValue(forKey: id) {
      if let lane = call.lane { busy.remove(lane) }
      return false
    }
    guard let call = stuck.removeValue(forKey: id) else { preconditionFailure("a call returns that never began") }
    if let lane = call.lane { busy.remove(lane) }
    return true
  }

  /// A call's deadline has passed.
  mutating func expired(_ id: UInt64) -> Expiry {
    if let index = waiting.firstIndex(where: { $0.id == id }) {
      waiting.remove(at: index)
      return .dropped
    }
    guard let call = running.removeValue(forKey: id) else { return .isOver }
    stuck[id] = call
    return .hangs
  }

  private func canBegin(_ call: Call) -> Bool {
    hasThread && isFree(call.lane) && !waiting.contains { isFree($0.lane) }
  }

  private func isFree(_ lane: String?) -> Bool { lane.map { !busy.contains($0) } ?? true }

  /// A call that hangs has a thread beside the others', until there are too many: then it keeps one of theirs.
  private var hasThread: Bool { running.count + max(0, stuck.count - limits.stuckMax) < limits.runningMax }
}
