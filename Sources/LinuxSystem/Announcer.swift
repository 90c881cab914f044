import Synchronization

/// Tells readers of things that come to be and stay so: a container has ended, a process is gone.
///
/// A reader hears everything from when it begins to listen, and first what was so already: who listens anew, after a
/// failure, has missed nothing. It may hear the same twice. What is told waits for a slow reader: whoever tells bounds it
/// by the number of things that there are.
public final class Announcer<Element: Sendable>: Sendable {
  private struct State {
    var readers: [UInt64: AsyncStream<Element>.Continuation] = [:]
    var lastReader: UInt64 = 0
  }

  private let state = Mutex(State())

  public init() {}

  public func tell(_ element: Element) {
    let readers = state.withLock { Array($0.readers.values) }
    for reader in readers { reader.yield(element) }
  }

  /// Begins to listen.
  ///
  /// - Parameter present: what is so by now. Asked once the reader is known: what comes to be meanwhile is told as well.
  public func listen(present: () -> [Element]) -> AsyncStream<Element> {
    let (stream, continuation) = AsyncStream<Element>.makeStream()
    let id = state.withLock { state in
      state.lastReader += 1
      state.readers[state.lastReader] = continuation
      return state.lastReader
    }
    continuation.onTermination = { [weak self] _ in
      self?.state.withLock { _ = $0.readers.removeValue(forKey: id) }
    }
    for element in present() { continuation.yield(element) }
    return stream
  }
}
