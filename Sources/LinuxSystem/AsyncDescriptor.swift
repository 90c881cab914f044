import CLinux
import Glibc
import Synchronization

/// A pipe, socket or terminal whose reads and writes suspend instead of blocking.
///
/// Owns its descriptor. One task reads or one task writes at a time; a descriptor for both directions is used through
/// two objects (`duplicate`). `close` ends a suspended operation with `EBADF`.
public final class AsyncDescriptor: Sendable {
  private struct State {
    var fd: Int32
    var token: ReadinessMonitor.Token?
    var isDraining = false
  }

  private let state: Mutex<State>

  /// Takes ownership of `fd` and makes it non-blocking.
  public init(owning fd: Int32) throws(SystemError) {
    guard clinux_set_nonblocking(fd) >= 0 else {
      let error = SystemError.last("fcntl O_NONBLOCK")
      Glibc.close(fd)
      throw error
    }
    state = Mutex(State(fd: fd))
  }

  deinit {
    state.withLock { if $0.fd >= 0 { _ = Glibc.close($0.fd) } }
  }

  /// A second object for the same open file.
  public func duplicate() throws(SystemError) -> AsyncDescriptor {
    let copy = state.withLock { $0.fd < 0 ? -1 : fcntl($0.fd, F_DUPFD_CLOEXEC, 3) }
    guard copy >= 0 else { throw .last("dup") }
    return try AsyncDescriptor(owning: copy)
  }

  /// Up to `limit` bytes; empty at the end of input. A terminal whose other side was closed (`EIO`) is at its end.
  public func read(
    limit: Int = 64 << 10, deadline: ContinuousClock.Instant? = nil
  ) async throws(SystemError) -> [UInt8] {
    while true {
      let (result, isLast) = state.withLock { state -> (Result<[UInt8], SystemError>, Bool) in
        guard state.fd >= 0 else { return (.failure(SystemError("read", errno: EBADF)), false) }
        var failure: Int32 = 0
        let bytes = [UInt8](unsafeUninitializedCapacity: limit) { buffer, count in
          let received = Glibc.read(state.fd, buffer.baseAddress, limit)
          if received < 0 { failure = errno }
          count = max(0, received)
        }
        // What is written before it is drained is there for a read that begins after that, and for that one only.
        return (failure == 0 ? .success(bytes) : .failure(SystemError("read", errno: failure)), state.isDraining)
      }
      switch result {
      case .success(let bytes): return bytes
      case .failure(let error):
        switch error.errno {
        case EINTR: continue
        case EAGAIN:
          if isLast { return [] }
          try await waitForInput(deadline)
        case EIO, ECONNRESET: return []
        default: throw error
        }
      }
    }
  }

  /// Writes everything. `chunk` bounds one write, for sockets that keep record borders.
  public func write(
    _ bytes: [UInt8], chunk: Int = 64 << 10, deadline: ContinuousClock.Instant? = nil
  ) async throws(SystemError) {
    var offset = 0
    while offset < bytes.count {
      let result: Result<Int, SystemError> = state.withLock { state in
        guard state.fd >= 0 else { return .failure(SystemError("write", errno: EBADF)) }
        let sent = bytes.withUnsafeBytes { buffer in
          let part = UnsafeRawBufferPointer(rebasing: buffer[offset..<min(buffer.count, offset + chunk)])
          return Glibc.write(state.fd, part.baseAddress, part.count)
        }
        return sent < 0 ? .failure(.last("write")) : .success(sent)
      }
      switch result {
      case .success(let count): offset += count
      case .failure(let error):
        switch error.errno {
        case EINTR: continue
        case EAGAIN: try await ready(.writable, deadline)
        default: throw error
        }
      }
    }
  }

  /// Suspends until the descriptor is ready. Throws `ETIMEDOUT` at the deadline, `ECANCELED` when the task is
  /// cancelled, `EBADF` when it is closed.
  public func ready(
    _ interest: ReadinessMonitor.Interest, _ deadline: ContinuousClock.Instant? = nil
  ) async throws(SystemError) {
    try await wait(interest, deadline, untilDrained: false)
  }

  /// Until there is something to read, or it is to be drained. Whoever drains it while this begins to wait is not missed:
  /// the wait is registered, or refused, under the lock that `drain` takes.
  func waitForInput(_ deadline: ContinuousClock.Instant? = nil) async throws(SystemError) {
    do throws(SystemError) { try await wait(.readable, deadline, untilDrained: true) } catch {
      guard state.withLock({ $0.isDraining }) else { throw error }
    }
  }

  private func wait(
    _ interest: ReadinessMonitor.Interest, _ deadline: ContinuousClock.Instant?, untilDrained: Bool
  ) async throws(SystemError) {
    let outcome: Result<ReadinessMonitor.Outcome, SystemError> = await withTaskCancellationHandler {
      await withCheckedContinuation { continuation in
        let failure: SystemError? = state.withLock { state in
          guard state.fd >= 0 else { return SystemError("wait", errno: EBADF) }
          if untilDrained, state.isDraining { return SystemError("wait", errno: ECANCELED) }
          do throws(SystemError) {
            state.token = try ReadinessMonitor.shared.wait(state.fd, interest, deadline: deadline) {
              continuation.resume(returning: .success($0))
            }
            return nil
          } catch {
            return error
          }
        }
        if let failure {
          continuation.resume(returning: .failure(failure))
        } else if Task.isCancelled {
          // The handler may have run before the wait was there.
          interrupt()
        }
      }
    } onCancel: {
      interrupt()
    }
    switch try outcome.get() {
    case .ready: return
    case .timedOut: throw SystemError("wait for a helper program", errno: ETIMEDOUT)
    case .cancelled:
      let closed = state.withLock { $0.fd < 0 }
      throw SystemError("wait", errno: closed ? EBADF : ECANCELED)
    }
  }

  /// From here on reads take what is there and end instead of waiting for more.
  public func drain() {
    let token = state.withLock { state in
      state.isDraining = true
      return state.token
    }
    if let token { ReadinessMonitor.shared.cancel(token) }
  }

  private func interrupt() {
    if let token = state.withLock({ $0.token }) { ReadinessMonitor.shared.cancel(token) }
  }

  /// The descriptor for one call that does not keep it; `nil` when closed.
  public func withDescriptor<Value: Sendable>(_ body: (Int32) -> Value) -> Value? {
    state.withLock { $0.fd >= 0 ? body($0.fd) : nil }
  }

  /// Ends the sending direction of a socket.
  public func shutdownWrite() {
    _ = withDescriptor { Glibc.shutdown($0, Int32(SHUT_WR)) }
  }

  public func close() {
    let (fd, token) = state.withLock { state in
      defer { state.fd = -1 }
      return (state.fd, state.token)
    }
    if let token { ReadinessMonitor.shared.cancel(token) }
    if fd >= 0 { _ = Glibc.close(fd) }
  }
}
