import Synchronization

/// The other end of one connection, and its place among all of the server's.
package final class HTTPPeer: Sendable {
  /// The address without its port; empty when there is none.
  package let address: String
  /// What counts as one address (`ConnectionBudget.holder`).
  package let holder: String
  package let isTLS: Bool

  private let server: HTTPServer
  private let id: ConnectionBudget.ID
  private let state = Mutex(State())

  private struct State {
    /// Whose connection it is, once somebody has signed in, and who pays for it.
    var owner: (name: String, user: ConnectionBudget.User)?
    /// Requests under way. HTTP/2 has several at one time.
    var requests = 0
  }

  init(server: HTTPServer, id: ConnectionBudget.ID, address: String, holder: String, isTLS: Bool) {
    self.server = server
    self.id = id
    self.address = address
    self.holder = holder
    self.isTLS = isTLS
  }

  package var hasSignedIn: Bool { state.withLock { $0.owner != nil } }

  /// A request has shown who is at the other end.
  ///
  /// - Parameters:
  ///   - name: tells users apart.
  ///   - isPrivileged: as in `ConnectionBudget.User`; it may differ between requests of one name.
  ///   - payer: the name of who pays for the connection; asked once.
  /// - Returns: who pays; `nil` when they may have no further connection: this one stays what it was, and the request is to
  ///   be refused.
  package func signedIn(
    _ name: String, isPrivileged: Bool, payer: () -> String
  ) -> ConnectionBudget.User? {
    let known = state.withLock { $0.owner?.name == name ? $0.owner?.user : nil }
    if let known, known.isPrivileged == isPrivileged { return known }
    let user = ConnectionBudget.User(name: payer(), isPrivileged: isPrivileged)
    guard server.signedIn(id, as: user) else { return nil }
    state.withLock { $0.owner = (name, user) }
    return user
  }

  /// - Returns: whether a request of somebody who has not signed in may be answered; otherwise too many of such are under
  ///   way.
  package func strangerMayAsk() -> Bool {
    state.withLock { $0.owner != nil } || server.requestBegan(id)
  }

  /// A request's head is complete.
  func requestBegan() { state.withLock { $0.requests += 1 } }

  /// A request is answered.
  ///
  /// - Returns: whether the other end has signed in.
  func requestEnded() -> Bool {
    let (isKnown, isLast) = state.withLock { state in
      state.requests -= 1
      return (state.owner != nil, state.requests == 0)
    }
    if !isKnown, isLast { server.requestEnded(id) }
    return isKnown
  }

  // MARK: Memory

  /// Room for bytes of a body that the address pays for. What is kept is for those who have signed in.
  func takeBody(_ bytes: Int) -> Bool {
    server.takeBody(bytes, ConnectionBudget.User(name: holder, isPrivileged: hasSignedIn))
  }

  func giveBackBody(_ bytes: Int) {
    if bytes > 0 { server.giveBackBody(bytes, holder) }
  }

  /// Room for bytes of a body that somebody else than the address pays for.
  func takeBody(_ bytes: Int, for holder: ConnectionBudget.User) -> Bool { server.takeBody(bytes, holder) }

  func giveBackBody(_ bytes: Int, of holder: ConnectionBudget.User) { server.giveBackBody(bytes, holder.name) }
}
