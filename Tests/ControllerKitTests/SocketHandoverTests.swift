import Glibc
import LinuxSystem
import Synchronization
import Testing
import Wire

@testable import ControllerKit

@Suite struct SocketHandoverTests {
  @Test func offersAreReadAsTheyWereWritten() {
    for count in 2...DescriptorPassing.countMax {
      #expect(SocketHandover.Message.count(inOffer: SocketHandover.Message.offer(count: count)) == count)
    }
  }

  @Test(arguments: [
    [], Array("APHO".utf8), SocketHandover.Message.request, Array("APHO".utf8) + [2, 3], Array("apho".utf8) + [1, 3],
    SocketHandover.Message.offer(count: 0), SocketHandover.Message.offer(count: 1),
    SocketHandover.Message.offer(count: 65), SocketHandover.Message.offer(count: 255),
    SocketHandover.Message.offer(count: 3) + [0],
  ])
  func nothingElseIsAnOffer(bytes: [UInt8]) {
    #expect(SocketHandover.Message.count(inOffer: bytes) == nil)
  }

  /// Whatever somebody sends: no descriptor, no byte, and whoever asks properly after him is given everything.
  @Test func aStrangerGetsNothing() async throws {
    try await withPlace { place in
      let plane = try await Running(place, "one")
      let files = DataPlaneFiles(place)
      let sayings: [[UInt8]] = [
        [], [0], Array("GET / HTTP/1.1\r\n\r\n".utf8), Array("APHO".utf8) + [2], SocketHandover.Message.offer(count: 2),
        [SocketHandover.Message.serving], [UInt8](repeating: 0xFF, count: 4096),
      ]
      for saying in sayings {
        let stranger = try UnixSocket.connect(files.socket)
        if !saying.isEmpty { try await stranger.write(saying, deadline: .now + .seconds(20)) }
        stranger.shutdownWrite()
        #expect(await answer(stranger) == .nothing, "\(saying.prefix(8))")
      }
      // The right word, and something with it.
      let stranger = try UnixSocket.connect(files.socket)
      let file = OwnedDescriptor(open("/dev/null", O_RDONLY | O_CLOEXEC))
      try await DescriptorPassing.send(
        SocketHandover.Message.request, [file], over: stranger, deadline: .now + .seconds(20))
      #expect(await answer(stranger) == .nothing)
      let asked = try #require(try await SocketHandover.ask(files.socket))
      #expect(try asked.sockets.map { try ServerSocket(adopting: $0) } == plane.sockets)
      try await plane.expectAnswer()
      await plane.end()
    }
  }

  private enum Answer: Equatable { case nothing, something }

  private func answer(_ connection: AsyncDescriptor) async -> Answer {
    do {
      let (bytes, descriptors) = try await DescriptorPassing.receive(
        bytesMax: 64, over: connection, deadline: .now + .seconds(20))
      return bytes.isEmpty && descriptors.isEmpty ? .nothing : .something
    } catch {
      // Closed with what it did not read.
      return error.errno == ECONNRESET ? .nothing : .something
    }
  }

  /// Queries without pause, while the process is replaced ten times: each is answered.
  @Test func nothingIsLostInAHandOver() async throws {
    try await withPlace { place in
      var plane = try await Running(place, "0")
      let sockets = plane.sockets
      let (begun, begins) = AsyncStream<Void>.makeStream()
      let isOver = Flag()
      let asking = Task {
        let client = try EchoClient(sockets[0])
        var asked: UInt64 = 0
        while !isOver.value.withLock({ $0 }) {
          asked += 1
          try await client.ask(asked)
          if asked == 1 { begins.finish() }
        }
        return asked
      }
      for await _ in begun {}
      for number in 1...10 {
        let next = try await Running(place, "\(number)")
        // The one before ends by itself, and the record tells of the other.
        try await plane.hasEnded()
        #expect(CompanionRecord.read(DataPlaneFiles(place).record)?.token == "\(number)")
        plane = next
      }
      isOver.value.withLock { $0 = true }
      #expect(try await asking.value > 10)
      await plane.end()
    }
  }

  /// A new one that dies at each of its steps: the old one answers, and says so in the record.
  @Test func theOldOneGoesOnWhenTheNewOneDies() async throws {
    try await withPlace { place in
      let plane = try await Running(place, "old")
      let files = DataPlaneFiles(place)
      for step in 0..<5 {
        switch step {
        // Connected; has asked; has what it asked for.
        case 0: _ = try UnixSocket.connect(files.socket)
        case 1:
          let connection = try UnixSocket.connect(files.socket)
          try await connection.write(SocketHandover.Message.request, deadline: .now + .seconds(20))
        case 2: _ = try #require(try await SocketHandover.ask(files.socket))
        // Has written its record.
        case 3:
          let asked = try #require(try await SocketHandover.ask(files.socket))
          try CompanionRecord(processID: 1, startTime: 1, token: "new").write(files.record)
          withExtendedLifetime(asked) {}
        // Its last word comes when it is not there any more to hear the answer.
        default:
          let connection = try UnixSocket.connect(files.socket)
          try await connection.write(SocketHandover.Message.request, deadline: .now + .seconds(20))
          let (_, descriptors) = try await DescriptorPassing.receive(
            bytesMax: SocketHandover.Message.offerBytes, over: connection, deadline: .now + .seconds(20))
          #expect(descriptors.count == 3)
          try CompanionRecord(processID: 1, startTime: 1, token: "new").write(files.record)
          connection.withDescriptor { _ = shutdown($0, Int32(SHUT_RD)) }
          try await connection.write([SocketHandover.Message.serving], deadline: .now + .seconds(20))
        }
        // One asks after the other: it has noticed.
        _ = try #require(try await SocketHandover.ask(files.socket), "step \(step)")
        try await plane.expectAnswer()
        #expect(CompanionRecord.read(files.record)?.token == "old", "step \(step)")
        #expect(throws: FileLockError.self) { try FileLock.acquire(files.lock) }
      }
      let next = try await Running(place, "new")
      try await plane.hasEnded()
      try await next.expectAnswer()
      await next.end()
    }
  }

  /// What the old one does before it dies.
  enum Death: CaseIterable, Sendable { case accepted, offered, heardOfServing }

  /// An old one that dies at each of its steps: the new one serves.
  @Test(arguments: Death.allCases) func theNewOneServesWhenTheOldOneDies(_ death: Death) async throws {
    try await withPlace { place in
      let old = try OldProcess(place)
      async let starting = Running(place, "new")
      let connection = try await old.accept()
      switch death {
      case .accepted: old.die()
      case .offered:
        try await old.offer(connection)
        old.die()
      case .heardOfServing:
        try await old.offer(connection)
        #expect(try await connection.read(limit: 1) == [SocketHandover.Message.serving])
        old.die()
      }
      connection.close()
      let plane = try await starting
      try await plane.expectAnswer()
      let files = DataPlaneFiles(place)
      #expect(CompanionRecord.read(files.record)?.token == "new")
      #expect(throws: FileLockError.self) { try FileLock.acquire(files.lock) }
      // And hands over in its turn.
      let next = try await Running(place, "next")
      try await plane.hasEnded()
      try await next.expectAnswer()
      await next.end()
    }
  }

  /// One that goes on serving: it has waited too long.
  @Test func theNewOneEndsWhenTheOldOneGoesOn() async throws {
    try await withPlace { place in
      let old = try OldProcess(place)
      let starting = Task { try await Running(place, "new") }
      let connection = try await old.accept()
      try await old.offer(connection)
      #expect(try await connection.read(limit: 1) == [SocketHandover.Message.serving])
      try await connection.write([SocketHandover.Message.withdrawn])
      await #expect(throws: CompanionError.self) { try await starting.value }
      old.die()
    }
  }

  /// One that says nothing sensible counts as absent. Whether it serves is told by the lock.
  @Test(arguments: [true, false]) func garbageIsNoOffer(isLocked: Bool) async throws {
    try await withPlace { place in
      let old = try OldProcess(place)
      if !isLocked { old.unlock() }
      let starting = Task { try await Running(place, "new") }
      let connection = try await old.accept()
      try await connection.write(Array("HTTP/1.1 400 Bad Request\r\n\r\n".utf8))
      connection.close()
      if isLocked {
        let error = await #expect(throws: FileLockError.self) { try await starting.value }
        #expect(error?.isHeld == true)
      } else {
        let plane = try await starting.value
        try await plane.expectAnswer()
        await plane.end()
      }
      old.die()
    }
  }

  /// Offers that promise more than they hold, or hold something else.
  @Test func whatComesIsLookedAt() async throws {
    try await withPlace { place in
      let old = try OldProcess(place)
      let path = DataPlaneFiles(place).socket
      let null = OwnedDescriptor(open("/dev/null", O_RDONLY | O_CLOEXEC))
      let offers: [(bytes: [UInt8], descriptors: [OwnedDescriptor])] = [
        (SocketHandover.Message.offer(count: 2), []), (SocketHandover.Message.offer(count: 3), [null, null]),
        (SocketHandover.Message.offer(count: 2), [null, null]), ([0], [null, null]),
        (Array("APHO".utf8) + [2, 2], [null, null]),
      ]
      for (bytes, descriptors) in offers {
        async let asked = SocketHandover.ask(path)
        let connection = try await old.accept()
        try await DescriptorPassing.send(bytes, descriptors, over: connection, deadline: .now + .seconds(20))
        connection.close()
        do {
          _ = try await asked
          Issue.record("taken: \(bytes)")
        } catch { #expect((error as? SystemError)?.errno == EPROTO) }
      }
      // Another lock's file than the one that counts.
      let other = try FileLock.acquire(path + "-other")
      #expect(throws: FileLockError.self) { try FileLock.share(try other.shared(), DataPlaneFiles(place).lock) }
      // And one that says nothing is waited for no longer than that.
      do {
        _ = try await SocketHandover.ask(path, answerDeadline: .milliseconds(1))
        Issue.record("taken")
      } catch { #expect((error as? SystemError)?.errno == ETIMEDOUT) }
      old.die()
      #expect(try await SocketHandover.ask(path) == nil)
    }
  }

  /// More than a message can have: whoever asks is given none, that is told, and it goes on.
  @Test func tooManySocketsAreRefused() async throws {
    try await withPlace { place in
      let files = DataPlaneFiles(place)
      try Directory.createPrivate(files.folder)
      try Directory.createPrivate(files.runFolder)
      let lock = try FileLock.acquire(files.lock)
      let listener = try SocketHandover.bind(files.socket)
      let null = OwnedDescriptor(open("/dev/null", O_RDONLY | O_CLOEXEC))
      let offered = Offered(SocketHandover.socketsMax + 1)
      let serving = Task {
        try await SocketHandover.serve(listener, time: SystemClock()) { () throws(SystemError) in
          (try lock.shared(), Array(repeating: null, count: offered.count.withLock { $0 }))
        } letGo: {
        } withdrawn: {
        } refused: { error in
          offered.refusals.withLock { $0.append(error.errno) }
        }
      }
      do {
        _ = try await SocketHandover.ask(files.socket)
        Issue.record("taken")
      } catch { #expect((error as? SystemError)?.errno == EPROTO) }
      #expect(offered.refusals.withLock { $0 } == [EMSGSIZE])
      offered.count.withLock { $0 -= 1 }
      let asked = try #require(try await SocketHandover.ask(files.socket))
      #expect(asked.sockets.count == SocketHandover.socketsMax)
      serving.cancel()
      _ = await serving.result
    }
  }

  /// What is not wanted any more is closed, and what is new is opened.
  @Test func onlyWhatIsWantedIsKept() throws {
    let (one, two) = (Running.socket(1), Running.socket(2))
    let null = OwnedDescriptor(open("/dev/null", O_RDONLY | O_CLOEXEC))
    let sockets = DataPlaneSockets([one], inherited: [try one.open(), try two.open(), null])
    #expect(try sockets.all.map { try ServerSocket(adopting: $0) } == [one])
    // Nobody has it.
    let taken = DataPlaneSockets([two], inherited: [])
    close(try taken.open(two))
    let failure = #expect(throws: SystemError.self) { try two.open() }
    #expect(failure?.errno == EADDRINUSE)
    close(try sockets.open(one))
    #expect(sockets.all.count == 1 && taken.all.count == 1)
  }
}

/// How many sockets somebody offers, and how his offers were refused.
private final class Offered: Sendable {
  let count: Mutex<Int>
  let refusals = Mutex<[Int32]>([])

  init(_ count: Int) { self.count = Mutex(count) }
}

/// A word for a task.
private final class Flag: Sendable {
  let value = Mutex(false)
}

private let places = Mutex<UInt8>(2)

/// A place of its own, which is removed. Its owner is a number that no other one has.
private func withPlace(_ body: (FootprintPlace) async throws -> Void) async throws {
  var template = Array("/tmp/apus-plane-XXXXXX".utf8CString)
  let base = template.withUnsafeMutableBufferPointer { String(cString: mkdtemp($0.baseAddress!)) }
  defer { try? Directory.removeTree(base) }
  let number = places.withLock { number in
    number += 1
    return number
  }
  try await body(FootprintPlace(data: base + "/data", run: base + "/run", cgroup: "apus-test", owner: "\(number)"))
}

/// A data plane with one part, which sends datagrams back.
private struct Running {
  /// One. An array, since the frames of async functions do not have the alignment that an address asks for.
  let sockets: [ServerSocket]
  private let task: Task<Void, any Error>

  /// An address that nobody else has: a test process's own, and one of its tests'.
  static func socket(_ number: UInt8) -> ServerSocket {
    ServerSocket(
      .udp, IPAddress(bytes: [127, UInt8(getpid() >> 8 & 0x7F), UInt8(getpid() & 0xFF), number]), port: 7007)
  }

  /// Returns when it is the one that serves; throws when it does not come to that.
  init(_ place: FootprintPlace, _ token: String) async throws {
    let sockets = [Self.socket(UInt8(place.owner) ?? 0)]
    self.sockets = sockets
    let part = DataPlanePart(
      name: "echo", identity: "", sockets: { _ in sockets }, run: { try await Self.echo($0, sockets) })
    let (served, serves) = AsyncStream<Void>.makeStream()
    let plane = DataPlane([part], place: place, settings: [:], time: SystemClock()) { _ in FakeKubeClient() }
    let running = Task {
      defer { serves.finish() }
      try await plane.run(token: token) { serves.yield() }
    }
    task = running
    for await _ in served { return }
    try await running.value
    throw CompanionError(description: "it ended before it served")
  }

  private static func echo(_ context: DataPlaneContext, _ sockets: [ServerSocket]) async throws {
    let descriptor = try AsyncDescriptor(owning: context.sockets.open(sockets[0]))
    context.serving()
    try await context.turn.wait()
    while true {
      try await descriptor.ready(.readable)
      // What is taken is answered.
      descriptor.withDescriptor { fd in
        var buffer = [UInt8](repeating: 0, count: 64)
        var from = sockaddr_storage()
        var length = socklen_t(MemoryLayout<sockaddr_storage>.size)
        withUnsafeMutablePointer(to: &from) { pointer in
          pointer.withMemoryRebound(to: sockaddr.self, capacity: 1) { address in
            let count = recvfrom(fd, &buffer, buffer.count, Int32(MSG_DONTWAIT), address, &length)
            if count >= 0 { _ = sendto(fd, buffer, count, Int32(MSG_NOSIGNAL), address, length) }
          }
        }
      }
    }
  }

  func expectAnswer() async throws { try await EchoClient(sockets[0]).ask(7) }

  /// By itself, as one does that was relieved.
  func hasEnded() async throws { try await task.value }

  func end() async {
    task.cancel()
    _ = await task.result
  }
}

private struct EchoClient {
  private let descriptor: AsyncDescriptor

  init(_ target: ServerSocket) throws {
    let fd = socket(AF_INET, Int32(SOCK_DGRAM.rawValue | SOCK_CLOEXEC.rawValue), 0)
    descriptor = try AsyncDescriptor(owning: fd)
    var storage = sockaddr_storage()
    let length = target.address.write(to: &storage, port: target.port)
    let isConnected = withUnsafePointer(to: storage) { pointer in
      pointer.withMemoryRebound(to: sockaddr.self, capacity: 1) { connect(fd, $0, length) == 0 }
    }
    guard isConnected else { throw SystemError.last("connect to \(target)") }
  }

  /// One datagram there and back. What is lost is lost: nothing is sent twice.
  func ask(_ number: UInt64) async throws {
    let bytes = Array("\(number)".utf8)
    try await descriptor.write(bytes)
    #expect(try await descriptor.read(limit: 64, deadline: .now + .seconds(20)) == bytes)
  }
}

/// As much of a data plane as the next one sees, to die when the test says.
private final class OldProcess {
  private var lock: FileLock?
  private var listener: OwnedDescriptor?
  private let listening: AsyncDescriptor

  init(_ place: FootprintPlace) throws {
    let files = DataPlaneFiles(place)
    try Directory.createPrivate(files.folder)
    try Directory.createPrivate(files.runFolder)
    lock = try FileLock.acquire(files.lock)
    let listener = try SocketHandover.bind(files.socket)
    self.listener = listener
    listening = try AsyncDescriptor(owning: listener.duplicate())
  }

  /// The next that asks, after its request.
  func accept() async throws -> AsyncDescriptor {
    while true {
      try await listening.ready(.readable, .now + .seconds(20))
      guard let connection = try DescriptorPassing.accept(listening) else { continue }
      let request = try await connection.read(limit: 64, deadline: .now + .seconds(20))
      #expect(request == SocketHandover.Message.request)
      return connection
    }
  }

  func offer(_ connection: AsyncDescriptor) async throws {
    let descriptors = [try #require(lock).shared(), try #require(listener)]
    try await DescriptorPassing.send(
      SocketHandover.Message.offer(count: descriptors.count), descriptors, over: connection,
      deadline: .now + .seconds(20))
  }

  func unlock() { lock = nil }

  /// All that it has is closed, as the kernel does it.
  func die() {
    (lock, listener) = (nil, nil)
    listening.close()
  }
}
