import Glibc
import LinuxSystem
import Wire

/// How sockets go from the process that serves to the one that takes over, so that nobody who asks notices.
///
/// The new process connects to the socket of the old one and asks. The old one sends its lock, the socket that it listens on
/// for this, and all sockets of its services, and goes on serving. Both have them now, and whichever dies, the other is not
/// disturbed. When the new one can answer, it says so; the old one stops to take anything and says that; then the new one
/// takes, and is the one that serves: what comes in between waits in the kernel. If the new one ends before its word, or takes too long, the old one goes on as if nothing
/// had been.
///
///     new: request        "APHO" version
///     old: offer          "APHO" version count, with `count` descriptors: lock, hand-over socket, the others
///     new: serving        "s"
///     old: released "r", or withdrawn "w" when the time is over
enum SocketHandover {
  enum Message {
    static let version: UInt8 = 1
    static let request: [UInt8] = Array("APHO".utf8) + [version]
    static let serving = UInt8(ascii: "s")
    static let released = UInt8(ascii: "r")
    static let withdrawn = UInt8(ascii: "w")
    static let offerBytes = request.count + 1

    static func offer(count: Int) -> [UInt8] { request + [UInt8(count)] }

    /// How many descriptors come with an offer; `nil` for what is none.
    static func count(inOffer bytes: [UInt8]) -> Int? {
      guard bytes.count == offerBytes, bytes.starts(with: request), let count = bytes.last else { return nil }
      return (fixed...DescriptorPassing.countMax).contains(Int(count)) ? Int(count) : nil
    }

    /// The lock and the hand-over socket.
    static let fixed = 2
  }

  /// What goes into one message beside the fixed ones.
  static let socketsMax = DescriptorPassing.countMax - Message.fixed

  /// For an answer that needs no more than the other's attention.
  static let answerDeadline = Duration.seconds(5)
  /// How long the new one may take until it answers. The server ends it before (`DataPlaneProcess`).
  static let readyDeadline = Duration.seconds(60)
  private static let backlog: Int32 = 4

  /// A socket to hand over by, which listens. Its folder is for root alone.
  static func bind(_ path: String) throws(SystemError) -> OwnedDescriptor {
    let socket = OwnedDescriptor(try UnixSocket.bind(path, mode: 0o600).descriptor)
    guard listen(socket.number, backlog) == 0 else { throw .last("listen on \(path)") }
    return socket
  }

  // MARK: The one that takes over

  /// The process that serves, after it has given its sockets.
  struct Predecessor: Sendable {
    let lock: OwnedDescriptor
    let listener: OwnedDescriptor
    let sockets: [OwnedDescriptor]
    fileprivate let connection: AsyncDescriptor

    /// Tells it to let go. Returns when it has, or when it has died.
    /// - Throws: when it goes on serving.
    func relieve() async throws {
      // One that has died reads nothing, and may have said something before.
      try? await connection.write([Message.serving], deadline: .now + answerDeadline)
      let answer = try await connection.read(limit: 1, deadline: .now + answerDeadline)
      guard answer.isEmpty || answer == [Message.released] else {
        throw CompanionError(description: "the process before has waited too long and goes on serving")
      }
    }
  }

  /// Asks whoever listens on the path for its sockets; `nil` when nobody does.
  /// - Throws: when it is not one of ours, or does not answer as it should within the deadline.
  static func ask(_ path: String, answerDeadline: Duration = Self.answerDeadline) async throws(SystemError)
    -> Predecessor?
  {
    let deadline = ContinuousClock.now + answerDeadline
    let connection: AsyncDescriptor
    do throws(SystemError) { connection = try UnixSocket.connect(path) } catch {
      guard error.isMissing || error.errno == ECONNREFUSED else { throw error }
      return nil
    }
    guard DescriptorPassing.peerUser(of: connection) == geteuid() else {
      throw SystemError("take over sockets by \(path)", errno: EPERM, detail: "another user listens there")
    }
    try await connection.write(Message.request, deadline: deadline)
    let (bytes, descriptors) = try await DescriptorPassing.receive(
      bytesMax: Message.offerBytes, over: connection, deadline: deadline)
    guard Message.count(inOffer: bytes) == descriptors.count, UnixSocket.isListening(descriptors[1], on: path) else {
      throw SystemError("take over sockets by \(path)", errno: EPROTO, detail: "what came is no offer")
    }
    return Predecessor(
      lock: descriptors[0], listener: descriptors[1], sockets: Array(descriptors.dropFirst(Message.fixed)),
      connection: connection)
  }

  // MARK: The one that serves

  /// Hands the sockets over to whoever asks and comes to serve; returns when somebody does. One asks at a time.
  ///
  /// - Parameters:
  ///   - listener: `nil` for none: then it waits until its task is cancelled.
  ///   - offer: the lock and the sockets, as they are when somebody asks.
  ///   - letGo: called when somebody can serve; returns when nothing more is taken from the sockets.
  ///   - withdrawn: called when somebody was given them and does not come to serve.
  ///   - refused: called when there are more sockets than can be handed over: nobody is given any.
  static func serve(
    _ listener: OwnedDescriptor?, time: any TimeSource,
    readyDeadline: Duration = Self.readyDeadline,
    offer: @Sendable () throws(SystemError) -> (lock: OwnedDescriptor, sockets: [OwnedDescriptor]),
    letGo: @Sendable () async -> Void, withdrawn: @Sendable () -> Void, refused: @Sendable (SystemError) -> Void
  ) async throws {
    guard let listener else {
      while true { try await time.sleep(for: .seconds(3600)) }
    }
    let listening = try AsyncDescriptor(owning: listener.duplicate())
    while true {
      do {
        try await listening.ready(.readable)
        guard let connection = try DescriptorPassing.accept(listening) else { continue }
        // Whoever is not given anything is told nothing.
        guard try await isRequest(connection) else { continue }
        let (lock, sockets) = try offer()
        guard sockets.count <= socketsMax else {
          refused(
            SystemError(
              "hand over \(sockets.count) sockets", errno: EMSGSIZE, detail: "\(socketsMax) are what a message can have"
            ))
          continue
        }
        if await isRelieved(by: connection, [lock, listener] + sockets, readyDeadline, letGo) { return }
        try Task.checkCancellation()
        withdrawn()
      } catch {
        try Task.checkCancellation()
        // Such as too many open files.
        try await time.sleep(for: .milliseconds(100))
      }
    }
  }

  private static func isRequest(_ connection: AsyncDescriptor) async throws(SystemError) -> Bool {
    guard DescriptorPassing.peerUser(of: connection) == geteuid() else { return false }
    let (bytes, descriptors) = try await DescriptorPassing.receive(
      bytesMax: Message.offerBytes, over: connection, deadline: .now + answerDeadline)
    return bytes == Message.request && descriptors.isEmpty
  }

  /// Gives the descriptors away, and tells whether the other one serves.
  private static func isRelieved(
    by connection: AsyncDescriptor, _ descriptors: [OwnedDescriptor], _ readyDeadline: Duration,
    _ letGo: @Sendable () async -> Void
  ) async -> Bool {
    do throws(SystemError) {
      try await DescriptorPassing.send(
        Message.offer(count: descriptors.count), descriptors, over: connection, deadline: .now + answerDeadline)
      let answer = try await connection.read(limit: 1, deadline: .now + readyDeadline)
      if answer == [Message.serving] {
        await letGo()
        // Fails when it has ended since, as one that was not heard for too long.
        try await connection.write([Message.released], deadline: .now + answerDeadline)
        return true
      }
    } catch {}
    // It may live, and is told. Then its end is waited for: what it has written until then is overwritten.
    if (try? await connection.write([Message.withdrawn], deadline: .now + answerDeadline)) != nil {
      let deadline = ContinuousClock.now + answerDeadline
      while let more = try? await connection.read(limit: 64, deadline: deadline), !more.isEmpty {}
    }
    return false
  }
}
