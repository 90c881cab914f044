import NIOPosix
import OCI

/// A few threads for calls that block: the content store syncs files, which must not happen on the cooperative pool.
final class BlockingPool: Sendable {
  private let pool = NIOThreadPool(numberOfThreads: 4)

  init() { pool.start() }

  deinit { pool.shutdownGracefully { _ in } }

  /// Runs `body` soon, whatever becomes of the caller.
  func submit(_ body: @escaping @Sendable () -> Void) {
    pool.submit { state in
      if state == .active { body() }
    }
  }

  func run<Value: Sendable>(
    _ label: String, _ body: @escaping @Sendable () throws(OCIError) -> Value
  ) async throws(DistributionError) -> Value {
    let result: Result<Value, OCIError>
    do {
      result = try await pool.runIfActive { Result { () throws(OCIError) in try body() } }
    } catch {
      throw DistributionError(.cancelled, "cancelled: \(label)")
    }
    do throws(OCIError) { return try result.get() } catch { throw DistributionError(error, label) }
  }
}
