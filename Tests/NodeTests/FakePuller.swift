import Distribution
import OCI
import Synchronization
import Wire

@testable import Node

/// A registry in memory. What it gives appears in the harness' store.
final class FakePuller: ImagePuller {
  struct Call: Sendable, Equatable {
    var reference: String
    var credentials: Credentials?
    var at: Timestamp
  }

  private struct State {
    weak var harness: NodeHarness?
    var calls: [Call] = []
    /// Who may have an image; `nil` for everybody.
    var published: [String: Credentials?] = [:]
    /// How many pulls may begin; the others wait.
    var permits = Int.max
    var waiting: [Int: CheckedContinuation<Bool, Never>] = [:]
    var lastWaiter = 0
    var cancelled = 0
  }

  private let state = Mutex(State())

  func connect(to harness: NodeHarness) { state.withLock { $0.harness = harness } }

  var calls: [Call] { state.withLock { $0.calls } }
  var cancelledCount: Int { state.withLock { $0.cancelled } }
  var waitingCount: Int { state.withLock { $0.waiting.count } }

  /// Puts an image into the registry.
  func publish(_ name: String, for credentials: Credentials? = nil) {
    state.withLock { $0.published[name] = .some(credentials) }
  }

  /// Lets pulls wait until `permit`.
  func close() { state.withLock { $0.permits = 0 } }

  /// Lets so many pulls go on.
  func permit(_ count: Int = .max) {
    let freed = state.withLock { state in
      let freed = state.waiting.keys.sorted().prefix(count).compactMap { state.waiting.removeValue(forKey: $0) }
      state.permits = count == .max ? .max : count - freed.count
      return freed
    }
    for continuation in freed { continuation.resume(returning: true) }
  }

  private func enter() async -> Bool {
    let id = state.withLock { state in
      state.lastWaiter += 1
      return state.lastWaiter
    }
    return await withTaskCancellationHandler {
      await withCheckedContinuation { continuation in
        let answer: Bool? = state.withLock { state in
          if Task.isCancelled { return false }
          if state.permits > 0 {
            if state.permits < .max { state.permits -= 1 }
            return true
          }
          state.waiting[id] = continuation
          return nil
        }
        if let answer { continuation.resume(returning: answer) }
      }
    } onCancel: {
      state.withLock { $0.waiting.removeValue(forKey: id) }?.resume(returning: false)
    }
  }

  func pull(
    _ reference: Reference, credentials: Credentials?, leavingOut isLeftOut: @escaping @Sendable (Descriptor) -> Bool
  ) async throws(DistributionError) -> Digest {
    let name = reference.description
    let harness = state.withLock { state in
      let now = state.harness?.time.now() ?? Timestamp(seconds: 0)
      state.calls.append(Call(reference: name, credentials: credentials, at: now))
      return state.harness
    }
    guard await enter() else {
      state.withLock { $0.cancelled += 1 }
      throw DistributionError(.cancelled, "the pull was cancelled")
    }
    guard let harness, let wanted = state.withLock({ $0.published[name] }) else {
      throw DistributionError(.notFound, "\(name): not found")
    }
    if let wanted, wanted != credentials {
      throw DistributionError(.unauthorized, "\(name): no basic auth credentials")
    }
    do {
      return try await harness.importImage(name).digest
    } catch {
      throw DistributionError(.store, "\(error)")
    }
  }
}

/// Pins in memory. They outlive the node, as those on disk do.
final class FakePins: ImagePins {
  private let state = Mutex<(pinned: Set<Digest>, writes: Int, missing: Set<Digest>)>(([], 0, []))

  var pinned: Set<Digest> { state.withLock { $0.pinned } }
  /// How often something was written.
  var writes: Int { state.withLock { $0.writes } }
  var missing: Set<Digest> {
    get { state.withLock { $0.missing } }
    set { state.withLock { $0.missing = newValue } }
  }

  func pin(_ digest: Digest) -> Bool {
    state.withLock { state in
      if state.missing.contains(digest) { return false }
      state.pinned.insert(digest)
      state.writes += 1
      return true
    }
  }

  func unpin(_ digest: Digest) {
    state.withLock { state in
      state.pinned.remove(digest)
      state.writes += 1
    }
  }

  func replace(with digests: Set<Digest>) -> Set<Digest> {
    state.withLock { state in
      state.pinned = digests.subtracting(state.missing)
      state.writes += 1
      return digests.intersection(state.missing)
    }
  }
}
