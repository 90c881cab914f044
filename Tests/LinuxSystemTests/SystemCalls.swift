import Glibc
import Synchronization

@testable import LinuxSystem

/// A system call that a test looks at.
struct SystemCall: Sendable, Equatable {
  let name: String
  let number: Int32

  private init(_ name: String, x86: Int32, arm: Int32) {
    self.name = name
    #if arch(x86_64)
      number = x86
    #else
      number = arm
    #endif
  }

  static let write = SystemCall("write", x86: 1, arm: 64)
  static let openat = SystemCall("openat", x86: 257, arm: 56)
  static let openat2 = SystemCall("openat2", x86: 437, arm: 437)
  static let flock = SystemCall("flock", x86: 73, arm: 32)
  static let fsync = SystemCall("fsync", x86: 74, arm: 82)
  static let ftruncate = SystemCall("ftruncate", x86: 77, arm: 46)
  static let fchmod = SystemCall("fchmod", x86: 91, arm: 52)
  static let rename = SystemCall("rename", x86: 82, arm: 38)
  static let unlink = SystemCall("unlink", x86: 87, arm: 35)
  static let unlinkat = SystemCall("unlinkat", x86: 263, arm: 35)
  static let getdents = SystemCall("getdents64", x86: 217, arm: 61)
  static let fallocate = SystemCall("fallocate", x86: 285, arm: 47)
  static let clone = SystemCall("clone", x86: 56, arm: 220)
  static let clone3 = SystemCall("clone3", x86: 435, arm: 435)
  static let pidfdOpen = SystemCall("pidfd_open", x86: 434, arm: 434)
}

/// A call that a thread is just about to make.
struct PendingCall {
  let call: SystemCall
  fileprivate let arguments: [UInt64]

  /// The path of the open file that an argument names.
  func file(_ index: Int = 0) -> String {
    var target = [CChar](repeating: 0, count: 4096)
    let count = readlink("/proc/self/fd/\(Int32(truncatingIfNeeded: arguments[index]))", &target, target.count)
    return String(decoding: target[..<max(0, count)].map { UInt8(bitPattern: $0) }, as: UTF8.self)
  }

  /// The text to which an argument points: the thread stands, and its memory is ours.
  func text(_ index: Int) -> String {
    UnsafePointer<CChar>(bitPattern: UInt(arguments[index])).map { String(cString: $0) } ?? ""
  }

  /// Does the first bytes of a write in the thread's place.
  func writeOnly(_ count: Int) -> Int64 {
    Int64(
      Glibc.write(
        Int32(truncatingIfNeeded: arguments[0]), UnsafeRawPointer(bitPattern: UInt(arguments[1])),
        min(count, Int(arguments[2]))))
  }
}

/// Runs code on a thread whose system calls stop until the test has decided about them: by a seccomp filter of that thread
/// with a listener (seccomp_unotify(2)). Needs no rights. Faults come where a disk or a kernel would give them.
enum SystemCalls {
  enum Verdict {
    case proceed
    case fail(Int32)
    /// It has been done, or not, and this is the result.
    case answer(Int64)
  }

  /// - Parameters:
  ///   - body: starts no thread, whose calls would stop, too.
  ///   - decide: is called by this thread.
  static func run<Value: Sendable>(
    stoppingAt calls: [SystemCall], _ body: @escaping @Sendable () -> Value, deciding decide: (PendingCall) -> Verdict
  ) throws -> Value {
    let shared = Shared<Value>()
    let thread = TestThread {
      shared.listener.store(install(calls), ordering: .releasing)
      shared.ready.signal()
      let value = body()
      shared.value.withLock { $0 = value }
    }
    shared.ready.wait()
    let listener = shared.listener.load(ordering: .acquiring)
    guard listener >= 0 else {
      thread.join()
      throw SystemError("seccomp", errno: -listener)
    }
    // It hangs up when the last one to whom the filter applies has ended.
    while true {
      var poller = pollfd(fd: listener, events: Int16(POLLIN), revents: 0)
      guard poll(&poller, 1, -1) > 0 else { continue }
      guard poller.revents & Int16(POLLIN) != 0 else { break }
      answer(listener, calls, decide)
    }
    close(listener)
    thread.join()
    return shared.value.withLock { $0! }
  }

  private final class Shared<Value: Sendable>: Sendable {
    let ready = Semaphore()
    let listener = Atomic<Int32>(-1)
    let value = Mutex<Value?>(nil)
  }

  /// Of the C library: waking somebody up by it starts no thread, which would be under the filter.
  /// `@unchecked`: sem_post(3) and sem_wait(3) may be called by any thread.
  private final class Semaphore: @unchecked Sendable {
    private let semaphore = UnsafeMutablePointer<sem_t>.allocate(capacity: 1)
    init() { sem_init(semaphore, 0, 0) }
    deinit {
      sem_destroy(semaphore)
      semaphore.deallocate()
    }
    func signal() { sem_post(semaphore) }
    func wait() { while sem_wait(semaphore) != 0 {} }
  }

  /// The listener's descriptor, or an error number, negative.
  private static func install(_ calls: [SystemCall]) -> Int32 {
    typealias Function = @convention(c) (Int, Int, Int, Int, Int, Int) -> Int
    let syscall = unsafeBitCast(dlsym(nil, "syscall"), to: Function.self)
    #if arch(x86_64)
      let (prctl, seccomp) = (157, 317)
    #else
      let (prctl, seccomp) = (167, 277)
    #endif
    // PR_SET_NO_NEW_PRIVS
    guard syscall(prctl, 38, 1, 0, 0, 0) == 0 else { return -errno }
    func instruction(_ code: UInt64, _ value: UInt32, isTrue: Int = 0, isFalse: Int = 0) -> UInt64 {
      code | UInt64(isTrue) << 16 | UInt64(isFalse) << 24 | UInt64(value) << 32
    }
    // The call's number; for each that is wanted a jump to the last line.
    var program = [instruction(0x20, 0)]
    for (index, call) in calls.enumerated() {
      program.append(instruction(0x15, UInt32(bitPattern: call.number), isTrue: calls.count - index))
    }
    program.append(instruction(0x06, 0x7fff_0000))
    program.append(instruction(0x06, 0x7fc0_0000))
    return program.withUnsafeBufferPointer { instructions in
      let head = [UInt64(instructions.count), UInt64(UInt(bitPattern: instructions.baseAddress))]
      return head.withUnsafeBufferPointer { head in
        // SECCOMP_SET_MODE_FILTER, SECCOMP_FILTER_FLAG_NEW_LISTENER
        let result = syscall(seccomp, 1, 8, Int(bitPattern: head.baseAddress), 0, 0)
        return result >= 0 ? Int32(result) : -errno
      }
    }
  }

  private static func answer(_ listener: Int32, _ calls: [SystemCall], _ decide: (PendingCall) -> Verdict) {
    // struct seccomp_notif: id, process and flags, number and architecture, instruction, six arguments.
    var notice = [UInt64](repeating: 0, count: 10)
    guard ioctl(listener, 0xC050_2100, &notice) == 0 else { return }
    let number = Int32(truncatingIfNeeded: notice[2])
    var verdict = Verdict.proceed
    if let call = calls.first(where: { $0.number == number }) {
      verdict = decide(PendingCall(call: call, arguments: Array(notice[4...])))
    }
    // struct seccomp_notif_resp: id, result, error and flags.
    var reply: [UInt64] =
      switch verdict {
      case .proceed: [notice[0], 0, 1 << 32]
      case .fail(let code): [notice[0], 0, UInt64(UInt32(bitPattern: -code))]
      case .answer(let result): [notice[0], UInt64(bitPattern: result), 0]
      }
    _ = ioctl(listener, 0xC018_2101, &reply)
  }
}
