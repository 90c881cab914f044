import Wire

/// Who has which of a server's connections, and who may have another one.
///
/// A value apart from IO: the server tells it what happens to connections, and it says whom to let in and whom to close.
/// Until a connection has signed in it is a stranger's, and strangers share places that are theirs alone: whatever they
/// hold, those who sign in have others. A newcomer always gets one of the strangers' places, because nobody can sign in
/// without: when all are taken, the connection that has waited longest without a request is closed for it, of the address
/// that has the most. That is why requests of strangers never get all of their places.
///
/// Not thread-safe: its owner keeps it under a lock.
package struct ConnectionBudget: Sendable {
  package typealias ID = UInt64

  package struct Limits: Sendable, Equatable {
    /// Connections that have not signed in: all together, of one address, and of these with a request under way.
    package var strangersMax: Int
    package var addressMax: Int
    package var strangersBusyMax: Int
    package var addressBusyMax: Int
    /// Connections that have signed in: all together, and of one user.
    package var knownMax: Int
    package var userMax: Int
    /// Places that only administrators and nodes get, besides those above.
    package var keptMax: Int

    /// - Parameters:
    ///   - total: all connections; at least 1.
    ///   - strangers: how many of them are for those who have not signed in.
    package init(total: Int, strangers: Int) {
      precondition(total > 0, "a server has connections")
      strangersMax = min(total, max(1, strangers))
      // A small server is not made smaller for each address.
      addressMax = min(strangersMax, max(32, strangersMax / 4))
      strangersBusyMax = max(1, strangersMax - strangersMax / 4)
      addressBusyMax = max(1, addressMax - addressMax / 4)
      keptMax = total / 16
      knownMax = max(1, total - strangersMax - keptMax)
      userMax = min(knownMax, max(32, knownMax / 4))
    }
  }

  /// Whether a new connection is served.
  package enum Admission: Sendable, Equatable {
    /// `closing` is the connection that has to make room: it counts no more from now on.
    case admitted(ID, closing: ID?)
    case refused
  }

  /// A user who signs in.
  package struct User: Sendable, Equatable {
    package var name: String
    /// An administrator or a node.
    package var isPrivileged: Bool

    package init(name: String, isPrivileged: Bool) {
      self.name = name
      self.isPrivileged = isPrivileged
    }
  }

  private enum Place {
    /// `turn` tells when it began to wait; `nil` while a request is under way.
    case stranger(address: String, turn: UInt64?)
    case known(User)
  }

  private struct Address {
    var count = 0
    var busy = 0
    /// Waiting connections, oldest first. Those that have moved on since are left behind, and skipped.
    var waiting: [(id: ID, turn: UInt64)] = []
    var first = 0

    /// Leaves out what was skipped once that is most of it, so that the list is as long as the connections are many.
    mutating func compact() {
      guard first > 32, first > waiting.count / 2 else { return }
      waiting.removeFirst(first)
      first = 0
    }
  }

  package var limits: Limits
  private var places: [ID: Place] = [:]
  private var addresses: [String: Address] = [:]
  private var users: [String: Int] = [:]
  private var lastID: ID = 0
  private var lastTurn: UInt64 = 0

  /// Connections by standing.
  package private(set) var strangers = 0
  package private(set) var strangersBusy = 0
  package private(set) var known = 0
  package private(set) var privileged = 0

  package init(limits: Limits) { self.limits = limits }

  /// All open connections.
  package var count: Int { places.count }

  /// What counts as one address: of IPv6 the network, because whoever has one address there has 2^64.
  package static func holder(_ text: String) -> String {
    guard let bytes = IPAddress(text)?.bytes, bytes.count == 16 else { return text }
    let isMapped = bytes[..<10].allSatisfy { $0 == 0 } && bytes[10] == 0xFF && bytes[11] == 0xFF
    if isMapped { return IPAddress(bytes: Array(bytes[12...])).description }
    return IPAddress(bytes: bytes[..<8] + [UInt8](repeating: 0, count: 8)).description
  }

  // MARK: What happens

  /// Somebody has connected.
  ///
  /// - Parameter address: as `holder` gives it.
  package mutating func opened(from address: String) -> Admission {
    var closing: ID?
    if addresses[address].map({ $0.count >= limits.addressMax }) == true {
      closing = oldestWaiting(of: address)
      if closing == nil { return .refused }
    } else if strangers >= limits.strangersMax {
      closing = oldestWaitingOfAll()
      if closing == nil { return .refused }
    }
    if let closing { closed(closing) }
    lastID += 1
    strangers += 1
    addresses[address, default: Address()].count += 1
    wait(lastID, address)
    return .admitted(lastID, closing: closing)
  }

  /// A request's head is complete, and nobody has signed in.
  ///
  /// - Returns: whether it may be answered; otherwise too many of strangers are under way.
  package mutating func requestBegan(_ id: ID) -> Bool {
    guard case .stranger(let address, .some) = places[id] else { return places[id] != nil }
    guard strangersBusy < limits.strangersBusyMax,
      addresses[address].map({ $0.busy < limits.addressBusyMax }) == true
    else { return false }
    places[id] = .stranger(address: address, turn: nil)
    addresses[address]?.busy += 1
    strangersBusy += 1
    return true
  }

  /// The request is answered; the connection waits for the next one.
  package mutating func requestEnded(_ id: ID) {
    guard case .stranger(let address, .none) = places[id] else { return }
    addresses[address]?.busy -= 1
    strangersBusy -= 1
    wait(id, address)
  }

  /// A request has shown who is at the other end. The connection stays theirs until it is closed or somebody else signs in.
  ///
  /// - Returns: whether there is a place; otherwise the connection stays what it was and is to be closed.
  package mutating func signedIn(_ id: ID, as user: User) -> Bool {
    guard let place = places[id] else { return false }
    if case .known(let present) = place {
      if present == user { return true }
      leave(place)
    }
    guard hasPlace(for: user) else {
      if case .known(let present) = place { enter(present) }
      return false
    }
    if case .stranger = place { leave(place) }
    enter(user)
    places[id] = .known(user)
    return true
  }

  /// The connection is gone. Telling it again does nothing.
  package mutating func closed(_ id: ID) {
    guard let place = places.removeValue(forKey: id) else { return }
    leave(place)
  }

  // MARK: Places

  private func hasPlace(for user: User) -> Bool {
    let all = known + privileged
    if user.isPrivileged { return all < limits.knownMax + limits.keptMax }
    return known < limits.knownMax && all < limits.knownMax + limits.keptMax
      && users[user.name, default: 0] < limits.userMax
  }

  private mutating func enter(_ user: User) {
    if user.isPrivileged {
      privileged += 1
    } else {
      known += 1
      users[user.name, default: 0] += 1
    }
  }

  private mutating func leave(_ place: Place) {
    switch place {
    case .known(let user) where user.isPrivileged: privileged -= 1
    case .known(let user):
      known -= 1
      Self.decrement(&users, user.name)
    case .stranger(let address, let turn):
      strangers -= 1
      guard var entry = addresses.removeValue(forKey: address) else { return }
      entry.count -= 1
      if turn == nil {
        entry.busy -= 1
        strangersBusy -= 1
      }
      if entry.count > 0 { addresses[address] = entry }
    }
    assert(strangers >= 0 && strangersBusy >= 0 && known >= 0 && privileged >= 0, "more has left than was there")
  }

  private static func decrement(_ counts: inout [String: Int], _ key: String) {
    guard let count = counts[key] else { return }
    counts[key] = count > 1 ? count - 1 : nil
  }

  private mutating func wait(_ id: ID, _ address: String) {
    lastTurn += 1
    places[id] = .stranger(address: address, turn: lastTurn)
    addresses[address]?.waiting.append((id, lastTurn))
    // A client with many requests on one connection leaves one entry behind with each.
    if let entry = addresses[address], entry.waiting.count - entry.first > 2 * entry.count + 32 { tidy(address) }
  }

  private mutating func tidy(_ address: String) {
    guard var entry = addresses[address] else { return }
    entry.waiting = entry.waiting[entry.first...].filter { isWaiting($0.id, $0.turn) }
    entry.first = 0
    addresses[address] = entry
  }

  private func isWaiting(_ id: ID, _ turn: UInt64) -> Bool {
    guard case .stranger(_, let present) = places[id] else { return false }
    return present == turn
  }

  private mutating func oldestWaiting(of address: String) -> ID? {
    guard var entry = addresses[address] else { return nil }
    while entry.first < entry.waiting.count {
      let (id, turn) = entry.waiting[entry.first]
      if isWaiting(id, turn) {
        entry.compact()
        addresses[address] = entry
        return id
      }
      entry.first += 1
    }
    entry.waiting = []
    entry.first = 0
    addresses[address] = entry
    return nil
  }

  /// Of the address with the most connections that wait.
  private mutating func oldestWaitingOfAll() -> ID? {
    let candidates = addresses.lazy.filter { $0.value.count > $0.value.busy }
    guard let most = candidates.max(by: { $0.value.count - $0.value.busy < $1.value.count - $1.value.busy }) else {
      return nil
    }
    return oldestWaiting(of: most.key)
  }
}
