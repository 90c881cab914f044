import Glibc
import Layers
import LinuxSystem
import OCI
import Synchronization
import Wire

/// A layer that is here in part: a sparse file of its size, which is filled piece by piece, those first that somebody
/// waits for. When all of it is there the file is the layer's blob.
///
/// What is in the file came from the network and is not verified: who reads it does that.
final class LazyBlob: Sendable {
  /// What is fetched at least: less costs a round trip for little.
  static let pieceSize: Int64 = 256 << 10
  /// What is fetched at once, at most.
  private static let requestMax: Int64 = 1 << 20
  /// Of a layer. What is known of its pieces is in memory.
  static let sizeMax = ImageLimits().uncompressedMax
  /// Requests for what somebody waits for.
  private static let requestsMax = 8

  typealias Fetch = @Sendable (Range<Int64>) async throws -> [UInt8]

  private struct Waiter {
    var pieces: [ClosedRange<Int>]
    var continuation: CheckedContinuation<Bool, Never>
    var timer: ReadinessMonitor.Token?

    func wants(_ other: ClosedRange<Int>) -> Bool { pieces.contains { $0.overlaps(other) } }
  }

  private struct State {
    var isHere: [Bool]
    var missing: Int
    /// Asked for, or about to be.
    var isUnderway: Set<Int> = []
    var queue: [ClosedRange<Int>] = []
    var running = 0
    var waiters: [Int: Waiter] = [:]
    var lastWaiter = 0
    /// The background waits until nobody else does.
    var idle: [CheckedContinuation<Void, Never>] = []
    var bytesFetched: Int64 = 0
    /// The file is about to become a blob of the store: nothing is written to it meanwhile.
    var isSealed = false
    /// It has: what it holds is right.
    var isKept = false

    func isWanted(_ pieces: ClosedRange<Int>) -> Bool { waiters.values.contains { $0.wants(pieces) } }
  }

  let path: String
  let size: Int64
  private let descriptor: Int32
  private let fetch: Fetch
  private let time: any TimeSource
  /// Told of every failure, and of the first success after it (`nil`).
  private let noted: @Sendable ((any Error)?) -> Void
  private let state: Mutex<State>

  init(
    path: String, size: Int64, time: any TimeSource, noted: @escaping @Sendable ((any Error)?) -> Void = { _ in },
    fetch: @escaping Fetch
  ) throws(SystemError) {
    self.path = path
    self.size = size
    self.time = time
    self.noted = noted
    self.fetch = fetch
    guard (1...Self.sizeMax).contains(size) else { throw SystemError("fetch \(size) bytes in parts", errno: EFBIG) }
    descriptor = open(path, O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0o644)
    let count = Int((size + Self.pieceSize - 1) / Self.pieceSize)
    state = Mutex(State(isHere: [Bool](repeating: false, count: count), missing: count))
    guard descriptor >= 0 else { throw .last("create \(path)") }
    guard ftruncate(descriptor, Int(size)) == 0 else { throw .last("make \(path) large enough") }
  }

  deinit { if descriptor >= 0 { _ = close(descriptor) } }

  /// Bytes that came so far.
  var bytesFetched: Int64 { state.withLock { $0.bytesFetched } }

  /// Holds back all changes of the file, until `unseal`; `false` when something of it is still missing.
  func seal() -> Bool {
    state.withLock { state in
      guard state.missing == 0 else { return false }
      state.isSealed = true
      return true
    }
  }

  /// It did not become a blob after all: what was forgotten meanwhile is fetched.
  func unseal() {
    state.withLock { $0.isSealed = false }
    pump()
  }

  /// It has become a blob: nothing of it was wrong, and nothing changes any more.
  func kept() {
    let (waiters, idle) = state.withLock { state in
      state.isKept = true
      state.queue = []
      state.isUnderway = []
      state.missing = 0
      for piece in state.isHere.indices { state.isHere[piece] = true }
      let waiters = Array(state.waiters.values)
      state.waiters = [:]
      return (waiters, takeIdle(&state))
    }
    resume(waiters, idle)
  }

  private func pieces(_ range: Range<Int64>) -> ClosedRange<Int>? {
    guard range.lowerBound >= 0, range.lowerBound < range.upperBound, range.upperBound <= size else { return nil }
    return Int(range.lowerBound / Self.pieceSize)...Int((range.upperBound - 1) / Self.pieceSize)
  }

  private func bytes(_ pieces: ClosedRange<Int>) -> Range<Int64> {
    Int64(pieces.lowerBound) * Self.pieceSize..<min(size, Int64(pieces.upperBound + 1) * Self.pieceSize)
  }

  // MARK: Reading

  func has(_ range: Range<Int64>) -> Bool {
    guard let pieces = pieces(range) else { return range.isEmpty }
    return state.withLock { state in pieces.allSatisfy { state.isHere[$0] } }
  }

  /// Returns when the ranges are there; `false` when that is not so within the time.
  func wait(for ranges: [Range<Int64>], within limit: Duration) async -> Bool {
    var wanted: [ClosedRange<Int>] = []
    for range in ranges where !range.isEmpty {
      guard let next = pieces(range) else { return false }
      if let last = wanted.last, (last.lowerBound...last.upperBound + 1).contains(next.lowerBound) {
        wanted[wanted.count - 1] = last.lowerBound...max(last.upperBound, next.upperBound)
      } else {
        wanted.append(next)
      }
    }
    let pieces = wanted
    return await withCheckedContinuation { continuation in
      let (isHere, waiter) = state.withLock { state -> (Bool, Int) in
        let missing = Set(pieces.joined().filter { !state.isHere[$0] })
        if missing.isEmpty { return (true, 0) }
        state.lastWaiter += 1
        state.waiters[state.lastWaiter] = Waiter(pieces: pieces, continuation: continuation)
        queue(missing.subtracting(state.isUnderway).sorted(), &state)
        return (false, state.lastWaiter)
      }
      if isHere { return continuation.resume(returning: true) }
      let timer = ReadinessMonitor.shared.timer(at: .now + limit) { [weak self] outcome in
        if case .timedOut = outcome { self?.gaveUp(waiter) }
      }
      let isOver = state.withLock { state in
        if state.waiters[waiter] == nil { return true }
        state.waiters[waiter]?.timer = timer
        return false
      }
      if isOver { ReadinessMonitor.shared.cancel(timer) }
      pump()
    }
  }

  private func gaveUp(_ id: Int) {
    let (waiter, idle) = state.withLock { state in
      let waiter = state.waiters.removeValue(forKey: id)
      return (waiter, takeIdle(&state))
    }
    waiter?.continuation.resume(returning: false)
    for continuation in idle { continuation.resume() }
  }

  /// What is in the file, whether it was fetched or not. Blocks.
  func read(at offset: Int64, into buffer: UnsafeMutableRawBufferPointer) throws(OCIError) -> Int {
    while true {
      let count = pread(descriptor, buffer.baseAddress, buffer.count, Int(offset))
      if count >= 0 { return count }
      if errno != EINTR { throw OCIError(SystemError.last("read \(path)")) }
    }
  }

  /// What was fetched is wrong: it is to be fetched again.
  func forget(_ range: Range<Int64>) {
    guard let pieces = pieces(range) else { return }
    state.withLock { state in
      guard !state.isKept else { return }
      for piece in pieces where state.isHere[piece] {
        state.isHere[piece] = false
        state.missing += 1
      }
      // Somebody may wait for it together with something else, and had no need to ask for it.
      queue(
        pieces.filter { !state.isHere[$0] && !state.isUnderway.contains($0) && state.isWanted($0...$0) }, &state)
    }
    pump()
  }

  // MARK: Fetching

  /// Fetches what is missing of the range, or of all, while nobody waits for anything else; goes on until it is there.
  func fetchRest(of range: Range<Int64>? = nil) async throws {
    guard let all = pieces(range ?? 0..<size) else { return }
    while true {
      await untilIdle()
      let next: ClosedRange<Int>? = state.withLock { state in
        guard let first = all.first(where: { !state.isHere[$0] && !state.isUnderway.contains($0) }) else { return nil }
        var last = first
        while last < all.upperBound, !state.isHere[last + 1], !state.isUnderway.contains(last + 1),
          Int64(last + 2 - first) * Self.pieceSize <= Self.requestMax
        {
          last += 1
        }
        state.isUnderway.formUnion(first...last)
        return first...last
      }
      if let next {
        try await load(next, isForWaiters: false)
      } else {
        // Somebody else fetches what is still missing.
        let isThere = state.withLock { state in all.allSatisfy { state.isHere[$0] } }
        if isThere { return }
        _ = await wait(for: [bytes(all)], within: .seconds(60))
      }
    }
  }

  private func untilIdle() async {
    await withCheckedContinuation { continuation in
      let isIdle = state.withLock { state in
        if state.waiters.isEmpty { return true }
        state.idle.append(continuation)
        return false
      }
      if isIdle { continuation.resume() }
    }
  }

  private func takeIdle(_ state: inout State) -> [CheckedContinuation<Void, Never>] {
    guard state.waiters.isEmpty else { return [] }
    defer { state.idle = [] }
    return state.idle
  }

  private func queue(_ pieces: [Int], _ state: inout State) {
    var rest = pieces[...]
    while let first = rest.popFirst() {
      var last = first
      while rest.first == last + 1, Int64(last + 2 - first) * Self.pieceSize <= Self.requestMax {
        last = rest.removeFirst()
      }
      state.isUnderway.formUnion(first...last)
      state.queue.append(first...last)
    }
  }

  private func pump() {
    let next: [ClosedRange<Int>] = state.withLock { state in
      guard !state.isSealed else { return [] }
      let count = min(Self.requestsMax - state.running, state.queue.count)
      guard count > 0 else { return [] }
      defer { state.queue.removeFirst(count) }
      state.running += count
      return Array(state.queue.prefix(count))
    }
    for pieces in next {
      Task {
        try? await load(pieces, isForWaiters: true)
        state.withLock { $0.running -= 1 }
        pump()
      }
    }
  }

  /// Fetches until it succeeds; what was asked for by those who wait, until none of them does any more.
  private func load(_ pieces: ClosedRange<Int>, isForWaiters: Bool) async throws {
    let range = bytes(pieces)
    var pause = Duration.milliseconds(250)
    do {
      while true {
        do {
          let bytes = try await fetch(range)
          try await BlockingLanes.lazyLayers.run(nil, "write a part of a layer") { [self] in
            try write(bytes, at: range.lowerBound)
          }
          noted(nil)
          return arrived(pieces, Int64(bytes.count))
        } catch {
          if Task.isCancelled { throw error }
          noted(error)
        }
        // Decided and done at once: who comes later finds that nobody fetches it, and asks for it.
        let isOver = state.withLock { state in
          guard isForWaiters, !state.isWanted(pieces) else { return false }
          state.isUnderway.subtract(pieces)
          return true
        }
        if isOver { return }
        try await time.sleep(for: pause)
        pause = min(pause * 2, .seconds(15))
      }
    } catch {
      // Who waits for it meanwhile has not asked for it himself.
      state.withLock { state in
        if state.isWanted(pieces) { state.queue.append(pieces) } else { state.isUnderway.subtract(pieces) }
      }
      pump()
      throw error
    }
  }

  private func write(_ bytes: [UInt8], at offset: Int64) throws(SystemError) {
    var done = 0
    while done < bytes.count {
      let count = bytes.withUnsafeBytes { buffer in
        pwrite(descriptor, buffer.baseAddress.map { $0 + done }, buffer.count - done, Int(offset) + done)
      }
      if count < 0 {
        if errno == EINTR { continue }
        throw .last("write \(path)")
      }
      done += count
    }
  }

  private func arrived(_ pieces: ClosedRange<Int>, _ count: Int64) {
    let (ready, idle) = state.withLock { state -> ([Waiter], [CheckedContinuation<Void, Never>]) in
      state.bytesFetched += count
      state.isUnderway.subtract(pieces)
      for piece in pieces where !state.isHere[piece] {
        state.isHere[piece] = true
        state.missing -= 1
      }
      var ready: [Waiter] = []
      for (id, waiter) in state.waiters where waiter.wants(pieces) {
        guard waiter.pieces.joined().allSatisfy({ state.isHere[$0] }) else { continue }
        state.waiters[id] = nil
        ready.append(waiter)
      }
      return (ready, takeIdle(&state))
    }
    resume(ready, idle)
  }

  private func resume(_ ready: [Waiter], _ idle: [CheckedContinuation<Void, Never>]) {
    for waiter in ready {
      if let timer = waiter.timer { ReadinessMonitor.shared.cancel(timer) }
      waiter.continuation.resume(returning: true)
    }
    for continuation in idle { continuation.resume() }
  }
}
