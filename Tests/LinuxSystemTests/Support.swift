import Glibc
import Synchronization
import Wire

@testable import LinuxSystem

/// A folder that goes with the object.
final class TestFolder: Sendable {
  let path: String

  init() {
    var template = Array("/tmp/apus-system-XXXXXX".utf8CString)
    path = template.withUnsafeMutableBufferPointer { String(cString: mkdtemp($0.baseAddress!)) }
  }

  deinit { try? Directory.removeTree(path) }

  func write(_ content: String, to name: String) throws {
    let file = "\(path)/\(name)"
    try Directory.create(DurableFile.parent(of: file))
    try DurableFile.write(Array(content.utf8), to: file)
  }

  func read(_ name: String) throws -> String {
    String(decoding: try DurableFile.read("\(path)/\(name)", limit: 1 << 20), as: UTF8.self)
  }

  /// What this process has open in the folder. Other tests may run beside: their descriptors are none of ours.
  func openFiles() throws -> [String] {
    try Directory.list("/proc/self/fd").compactMap { name in
      var target = [CChar](repeating: 0, count: 4096)
      let count = readlink("/proc/self/fd/\(name)", &target, target.count)
      guard count > 0 else { return nil }
      let text = String(decoding: target[..<count].map { UInt8(bitPattern: $0) }, as: UTF8.self)
      return text.hasPrefix(path) ? text : nil
    }
  }
}

/// A clock whose sleeps end at once, after what the test does in each.
final class CountingClock: TimeSource {
  private let sleeps = Mutex(0)
  private let body: @Sendable (Int) throws -> Void

  init(_ body: @escaping @Sendable (Int) throws -> Void) { self.body = body }

  var count: Int { sleeps.withLock { $0 } }
  func now() -> Timestamp { Timestamp(seconds: 1_700_000_000) }

  func sleep(for duration: Duration) async throws {
    let count = sleeps.withLock { count in
      count += 1
      return count
    }
    try body(count)
  }
}

/// The code with which a body fails; `nil` when it does not.
func code(_ body: () throws -> Void) -> Int32? {
  do { try body() } catch {
    return (error as? SystemError)?.errno ?? (error as? FileLockError)?.errno ?? -1
  }
  return nil
}

extension Result {
  var failure: Failure? { if case .failure(let error) = self { error } else { nil } }
}

/// A thread that is waited for: DedicatedThread's end by themselves.
final class TestThread {
  private var id = pthread_t()

  init(_ body: @escaping @Sendable () -> Void) {
    final class Box {
      let body: @Sendable () -> Void
      init(_ body: @escaping @Sendable () -> Void) { self.body = body }
    }
    let box = Unmanaged.passRetained(Box(body))
    pthread_create(
      &id, nil,
      { pointer in
        Unmanaged<Box>.fromOpaque(pointer!).takeRetainedValue().body()
        return nil
      }, box.toOpaque())
  }

  func join() { pthread_join(id, nil) }

  /// Whether something happened on a thread.
  final class Result: Sendable {
    private let state = Atomic<Bool>(false)
    var isSet: Bool { state.load(ordering: .acquiring) }
    func set() { state.store(true, ordering: .releasing) }
  }
}

/// What was told, in its order.
final class Counts: Sendable {
  private let outcomes = Mutex<[String]>([])
  func add(_ outcome: ReadinessMonitor.Outcome) { outcomes.withLock { $0.append("\(outcome)") } }
  var all: [String] { outcomes.withLock { $0 } }
}

/// Calls something when it has been stepped so often.
final class Countdown: Sendable {
  private let left: Mutex<Int>
  private let atEnd: @Sendable () -> Void

  init(_ count: Int, _ atEnd: @escaping @Sendable () -> Void) {
    left = Mutex(count)
    self.atEnd = atEnd
  }

  /// Whether it was the last step.
  @discardableResult
  func step() -> Bool {
    let isLast = left.withLock { left in
      left -= 1
      return left == 0
    }
    if isLast { atEnd() }
    return isLast
  }
}
