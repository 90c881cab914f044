import CLinux
import Glibc

/// Threads of our own for calls that block or that change the thread they run on (`setns`, `unshare`), which must not
/// happen on the cooperative pool. A thread costs some tens of microseconds.
public enum DedicatedThread {
  /// Starts a thread with all signals blocked.
  public static func start(_ name: String, _ body: @escaping @Sendable () -> Void) {
    let box = Unmanaged.passRetained(Box(name: name, body: body))
    var attributes = pthread_attr_t()
    pthread_attr_init(&attributes)
    pthread_attr_setdetachstate(&attributes, Int32(PTHREAD_CREATE_DETACHED))
    var thread = pthread_t()
    let error = pthread_create(
      &thread, &attributes,
      { argument in
        guard let argument else { return nil }
        let box = Unmanaged<Box>.fromOpaque(argument).takeRetainedValue()
        var all = sigset_t()
        sigfillset(&all)
        pthread_sigmask(SIG_BLOCK, &all, nil)
        clinux_set_thread_name(box.name)
        box.body()
        return nil
      }, box.toOpaque())
    pthread_attr_destroy(&attributes)
    precondition(error == 0, "pthread_create: \(String(cString: strerror(error)))")
  }

  /// Names the calling thread, one of `start`'s, after what it does next.
  static func rename(_ name: String) { clinux_set_thread_name(name) }

  /// Runs `body` on a new thread that ends afterwards.
  public static func run<Value: Sendable>(
    _ name: String = "apus-call", _ body: @escaping @Sendable () throws(SystemError) -> Value
  ) async throws(SystemError) -> Value {
    let result: Result<Value, SystemError> = await withCheckedContinuation { continuation in
      start(name) {
        let result: Result<Value, SystemError>
        do throws(SystemError) { result = .success(try body()) } catch { result = .failure(error) }
        continuation.resume(returning: result)
      }
    }
    return try result.get()
  }

  private final class Box: Sendable {
    let name: String
    let body: @Sendable () -> Void

    init(name: String, body: @escaping @Sendable () -> Void) {
      self.name = name
      self.body = body
    }
  }
}
