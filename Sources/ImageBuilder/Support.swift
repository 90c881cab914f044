import LinuxSystem
import OCI
import Synchronization

/// Counts from 1.
final class Counter: Sendable {
  private let value = Mutex(0)

  func increment() -> Int {
    value.withLock {
      $0 += 1
      return $0
    }
  }
}

/// Set once.
final class Flag: Sendable {
  private let value = Atomic(false)

  var isSet: Bool { value.load(ordering: .acquiring) }
  func set() { value.store(true, ordering: .releasing) }
}

/// Runs blocking code on a thread of its own.
func blocking<T: Sendable>(_ body: @escaping @Sendable () throws(BuildError) -> T) async throws(BuildError) -> T {
  let result: Result<T, BuildError> = await withCheckedContinuation { continuation in
    DedicatedThread.start("apus-build") {
      let result: Result<T, BuildError>
      do throws(BuildError) { result = .success(try body()) } catch { result = .failure(error) }
      continuation.resume(returning: result)
    }
  }
  return try result.get()
}

/// What the tasks of a group came to, by their numbers.
///
/// The tasks give back their number only: with a tuple of it and a typed `Result`, code that Swift 6.3 had optimised
/// crashed when the group took it.
final class Outcomes<Value: Sendable>: Sendable {
  private let results = Mutex<[Int: Result<Value, BuildError>]>([:])

  func set(_ number: Int, _ result: Result<Value, BuildError>) { results.withLock { $0[number] = result } }

  /// Takes a task's outcome out.
  func take(_ number: Int) -> Result<Value, BuildError> {
    results.withLock { $0.removeValue(forKey: number) } ?? .failure(.cancelled)
  }
}

/// Passes what the cooperative pool throws, which is nothing but cancellation and our own errors.
func asBuildError(_ error: any Error) -> BuildError {
  switch error {
  case let error as BuildError: error
  case is CancellationError: .cancelled
  case let error as OCIError: BuildError(error)
  case let error as SystemError: BuildError(error)
  default: BuildError(.system, "\(error)")
  }
}
