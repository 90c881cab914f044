import Glibc
import LinuxSystem
import Synchronization
import Wire

/// Where builders of several processes that share a work folder find out which of them carries a step out.
///
/// ```
/// WORK/steps/lock     held for as long as it takes to look and to begin to listen
/// WORK/steps/HEX      a socket of the builder that carries out the step of this name, for as long as it does
/// ```
///
/// Who connects is told what the step says and how it ended. When the connection ends without that, the builder has ended,
/// was killed, or its last build that waited for the step is gone: whoever waits tries again, and begins it anew himself.
/// Nobody but the owner of the work folder reaches the sockets.
struct StepRendezvous: Sendable {
  enum Claim: Sendable {
    /// Nobody else carries it out: this one does, and tells who connects.
    case own(StepHost)
    case other(AsyncDescriptor)
    /// It cannot be said: it is carried out, and nobody is told.
    case alone
  }

  /// How long builders have patience with one another.
  struct Patience: Sendable {
    /// With one who does not read: nobody else must wait for him.
    var write = Duration.seconds(5)
    /// So often those who wait are told that the builder is there.
    var beat = Duration.seconds(10)
    /// With one who says nothing, not even that: he was stopped, or hangs.
    var silence = Duration.seconds(60)
  }

  private let folder: String
  private let patience: Patience
  private let time: any TimeSource

  init(work: String, patience: Patience = Patience(), time: any TimeSource = SystemClock()) {
    folder = "\(work)/steps"
    self.patience = patience
    self.time = time
  }

  /// Blocks for as long as others look or begin.
  func claim(_ name: String) -> Claim {
    guard let place = try? Place(folder) else { return .alone }
    let (status, connection) = place.connect(name)
    switch status {
    case 0: return (try? AsyncDescriptor(owning: connection)).map { .other($0) } ?? .alone
    case ENOENT, ECONNREFUSED:
      guard let listener = try? place.listen(name), let socket = try? AsyncDescriptor(owning: listener) else {
        return .alone
      }
      return .own(StepHost(socket, path: "\(folder)/\(name)", patience, time))
    // More wait than the kernel keeps.
    default: return .alone
    }
  }

  /// Takes away what killed builders have left. Blocks as `claim`.
  func sweep() {
    guard access(folder, F_OK) == 0, let place = try? Place(folder) else { return }
    for name in (try? Directory.list(folder)) ?? [] where name != "lock" {
      // A socket of another type tells whether one is alive there, and disturbs nobody.
      let (status, connection) = place.connect(name, type: SOCK_DGRAM)
      if status == 0 { close(connection) }
      if status == ECONNREFUSED { unlink("\(folder)/\(name)") }
    }
  }

  enum Outcome: Sendable {
    case made(MadeStep)
    case failed(BuildError)
    case lost
    case busy
  }

  /// Listens to the builder that carries a step out, until it ends or the task is cancelled.
  func follow(_ connection: AsyncDescriptor, report: (StepNote) -> Void) async -> Outcome {
    defer { connection.close() }
    var reader = StepFrameReader()
    while true {
      let bytes: [UInt8]
      do throws(SystemError) { bytes = try await connection.read(deadline: .now + patience.silence) } catch {
        // He may go on, and this build need not wait for that.
        return error.errno == ETIMEDOUT ? .busy : .lost
      }
      guard !bytes.isEmpty, let frames = reader.add(bytes) else { return .lost }
      for frame in frames {
        switch frame {
        case .note(let note): report(note)
        case .made(let made): return .made(made)
        case .failed(let code, let message, let output): return .failed(BuildError(code, message, output: output))
        case .lost: return .lost
        case .busy: return .busy
        case .alive: break
        }
      }
    }
  }

  /// The folder, locked.
  private struct Place: ~Copyable {
    private let path: String
    private let directory: Int32
    private let lock: Int32

    init(_ path: String) throws(SystemError) {
      try Directory.create(path, mode: 0o700)
      let directory = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC)
      guard directory >= 0 else { throw .last("open \(path)") }
      let lock = open("\(path)/lock", O_RDWR | O_CREAT | O_CLOEXEC, 0o600)
      var failure = lock < 0 ? SystemError.last("open \(path)/lock") : nil
      while failure == nil, flock(lock, LOCK_EX) != 0 {
        if errno != EINTR { failure = .last("lock \(path)") }
      }
      if let failure {
        close(directory)
        if lock >= 0 { close(lock) }
        throw failure
      }
      (self.path, self.directory, self.lock) = (path, directory, lock)
    }

    deinit {
      close(directory)
      close(lock)
    }

    /// - Returns: 0 and a descriptor, or the `errno` of why not.
    func connect(_ name: String, type: __socket_type = SOCK_STREAM) -> (status: Int32, descriptor: Int32) {
      let fd = Self.socket(type)
      guard fd >= 0 else { return (errno, -1) }
      guard withAddress(name, { Glibc.connect(fd, $0, $1) }) == 0 else {
        let status = errno
        close(fd)
        return (status, -1)
      }
      return (0, fd)
    }

    /// Takes the place of a socket that nobody listens at any more.
    func listen(_ name: String) throws(SystemError) -> Int32 {
      unlink("\(path)/\(name)")
      let fd = Self.socket(SOCK_STREAM)
      guard fd >= 0 else { throw .last("socket") }
      guard withAddress(name, { bind(fd, $0, $1) }) == 0, Glibc.listen(fd, 128) == 0 else {
        let error = SystemError.last("listen at \(path)/\(name)")
        close(fd)
        throw error
      }
      return fd
    }

    /// One that never makes the caller wait.
    private static func socket(_ type: __socket_type) -> Int32 {
      Glibc.socket(AF_UNIX, Int32(type.rawValue | SOCK_CLOEXEC.rawValue | SOCK_NONBLOCK.rawValue), 0)
    }

    /// By the folder's descriptor: its path may be longer than an address can be.
    private func withAddress(_ name: String, _ body: (UnsafePointer<sockaddr>, socklen_t) -> Int32) -> Int32 {
      var address = sockaddr_un()
      address.sun_family = sa_family_t(AF_UNIX)
      let bytes = Array("/proc/self/fd/\(directory)/\(name)".utf8)
      guard bytes.count < MemoryLayout.size(ofValue: address.sun_path) else {
        errno = ENAMETOOLONG
        return -1
      }
      withUnsafeMutableBytes(of: &address.sun_path) { $0.copyBytes(from: bytes) }
      return withUnsafePointer(to: address) { pointer in
        pointer.withMemoryRebound(to: sockaddr.self, capacity: 1) {
          body($0, socklen_t(MemoryLayout<sockaddr_un>.size))
        }
      }
    }
  }
}

/// Tells builders of other processes what a step says and how it ends.
final class StepHost: Sendable {
  private struct State {
    var log: StepLog
    var end: StepFrame?
    var peers = 0
    /// How often those who wait were to be told that the builder is there.
    var beats = 0
    /// Connections that have been told all so far.
    var parked: [CheckedContinuation<Void, Never>] = []

    mutating func wake() -> [CheckedContinuation<Void, Never>] {
      defer { parked = [] }
      return parked
    }
  }

  /// At one time. One that has gone counts until it is told something.
  static let peersMax = 256

  private let listener: AsyncDescriptor
  private let path: String
  private let patience: StepRendezvous.Patience
  private let time: any TimeSource
  private let state = Mutex(State(log: StepLog(sizeMax: 4 << 20)))

  fileprivate init(
    _ listener: AsyncDescriptor, path: String, _ patience: StepRendezvous.Patience, _ time: any TimeSource
  ) {
    self.patience = patience
    self.time = time
    self.listener = listener
    self.path = path
  }

  func note(_ note: StepNote) {
    let parked = state.withLock { state in
      state.log.append(note)
      return state.wake()
    }
    for continuation in parked { continuation.resume() }
  }

  /// Ends the step for those who listen: `serve` ends when they have been told.
  func end(_ frame: StepFrame) {
    // Nobody finds it any more. As long as we listen the name is ours.
    unlink(path)
    let parked = state.withLock { state in
      state.end = frame
      return state.wake()
    }
    // Who connects now is refused, who has before is still accepted. The socket itself goes with this object: until the
    // work has ended, cancelled or not, the name must not look free.
    _ = listener.withDescriptor { shutdown($0, Int32(SHUT_RD)) }
    for continuation in parked { continuation.resume() }
  }

  /// Answers who connects, until the end has been told to all. When the task is cancelled nobody else is answered.
  func serve() async {
    async let _: Void = beat()
    await answer()
  }

  /// Until it is cancelled.
  private func beat() async {
    while (try? await time.sleep(for: patience.beat)) != nil {
      let parked = state.withLock { state in
        state.beats += 1
        return state.wake()
      }
      for continuation in parked { continuation.resume() }
    }
  }

  private func answer() async {
    await withTaskGroup(of: Void.self) { group in
      while let peer = await accept() {
        group.addTask { [self] in
          let peers = state.withLock { state in
            state.peers += 1
            return state.peers
          }
          if peers > Self.peersMax { await refuse(peer) } else { await tell(peer) }
          peer.close()
          state.withLock { $0.peers -= 1 }
        }
      }
      await group.waitForAll()
    }
  }

  private func accept() async -> AsyncDescriptor? {
    while true {
      let (peer, failure) =
        listener.withDescriptor { fd -> (Int32, Int32) in
          let peer = Glibc.accept(fd, nil, nil)
          guard peer >= 0 else { return (-1, errno) }
          _ = fcntl(peer, F_SETFD, FD_CLOEXEC)
          return (peer, 0)
        } ?? (-1, EBADF)
      switch failure {
      case 0: if let descriptor = try? AsyncDescriptor(owning: peer) { return descriptor }
      case EAGAIN:
        if state.withLock({ $0.end != nil }) { return nil }
        guard (try? await listener.ready(.readable)) != nil else { return nil }
      // One that has gone again.
      case EINTR, ECONNABORTED: break
      // No descriptor is left: who waits is let go with the socket.
      default: return nil
      }
    }
  }

  private func refuse(_ peer: AsyncDescriptor) async {
    try? await peer.write(StepFrame.busy.bytes, deadline: .now + patience.write)
  }

  private func tell(_ peer: AsyncDescriptor) async {
    var (position, beats) = (0, state.withLock { $0.beats })
    while true {
      let (frames, end) = state.withLock { state -> ([StepFrame], StepFrame?) in
        defer { (position, beats) = (state.log.end, state.beats) }
        let notes = state.log.notes(after: position).map { StepFrame.note($0) }
        return (notes.isEmpty && state.beats > beats ? [.alive] : notes, state.end)
      }
      for frame in frames + (end.map { [$0] } ?? []) {
        // Who has ended meanwhile, or does not take it, is let go.
        guard (try? await peer.write(frame.bytes, deadline: .now + patience.write)) != nil else { return }
      }
      if end != nil { return }
      if frames.isEmpty { await wait(after: position, beats) }
    }
  }

  /// Until there is more after a position, another beat, or the end.
  private func wait(after position: Int, _ beats: Int) async {
    await withCheckedContinuation { continuation in
      let isThere = state.withLock { state in
        if state.end != nil || state.log.end > position || state.beats > beats { return true }
        state.parked.append(continuation)
        return false
      }
      if isThere { continuation.resume() }
    }
  }
}
