import Content
import Logging
import OCI
import Synchronization
import Telemetry
import Wire

/// Garbage collection and scrubbing, each at its interval. What was done stays known over a change of the configuration.
final class Upkeep: Sendable {
  private let content: ContentStore
  private let time: any TimeSource
  private let logger: Logger
  private let metrics: RegistryMetrics
  private let pullThrough: PullThrough
  private let repair: Repair
  private let configuration: @Sendable () -> RegistryConfiguration
  private let blocking: @Sendable (_ body: @escaping @Sendable () throws(OCIError) -> Void) async throws -> Void
  private let last: Mutex<(collection: Timestamp, scrub: Timestamp)>

  init(registry: Registry) {
    content = registry.content
    time = registry.time
    logger = registry.logger
    metrics = registry.metrics
    pullThrough = registry.pullThrough
    repair = registry.repair
    configuration = { [registry] in registry.configuration }
    let pool = registry.pool
    blocking = { try await pool.calling($0) }
    // A start is a moment when much else is going on: the first round comes after one interval.
    let now = registry.time.now()
    last = Mutex((now, now))
  }

  /// Until the task is cancelled.
  func collect() async {
    while !Task.isCancelled {
      let options = configuration().garbageCollection
      do {
        try await wait(until: last.withLock { $0.collection }.adding(options.interval))
        pullThrough.review()
        guard options.isEnabled else {
          try await blocking { [content] () throws(OCIError) in content.removeIdleUploads() }
          last.withLock { $0.collection = time.now() }
          continue
        }
        var garbage = GarbageOptions()
        garbage.untaggedGrace = options.untaggedGrace
        garbage.trashPeriod = options.trash
        try await blocking { [content, metrics, logger, garbage] () throws(OCIError) in
          let report = try content.collectGarbage(garbage)
          metrics.collected.increment(by: Double(report.bytesDeleted))
          logger.info(
            "garbage collected",
            metadata: [
              "manifestsTrashed": "\(report.manifestsTrashed)", "blobsTrashed": "\(report.blobsTrashed)",
              "blobsDeleted": "\(report.blobsDeleted)", "bytesDeleted": "\(report.bytesDeleted)",
              "uploadsRemoved": "\(report.uploadsRemoved)",
            ])
        }
      } catch is CancellationError {
        return
      } catch {
        logger.error("garbage collection failed", metadata: ["error": "\(error)"])
      }
      last.withLock { $0.collection = time.now() }
    }
  }

  /// Until the task is cancelled.
  func scrub() async {
    while !Task.isCancelled {
      let options = configuration().scrub
      do {
        try await wait(until: last.withLock { $0.scrub }.adding(options.interval))
        if options.isEnabled { try await scrubOnce(options) }
      } catch is CancellationError {
        return
      } catch {
        logger.error("scrub failed", metadata: ["error": "\(error)"])
      }
      last.withLock { $0.scrub = time.now() }
    }
  }

  /// Reads what has not been read for an interval. Stops between blobs when the task is cancelled.
  private func scrubOnce(_ options: RegistryConfiguration.Scrub) async throws {
    let isCancelled = Flag()
    try await withTaskCancellationHandler {
      try await blocking { [content, metrics, logger, repair] () throws(OCIError) in
        var bytes: Int64 = 0
        let damaged = try content.scrub(olderThan: options.interval, isCancelled: { isCancelled.value }) { progress in
          metrics.scrubbed.increment(by: Double(progress.bytes - bytes))
          bytes = progress.bytes
        }
        metrics.damaged.set(to: Double(damaged.count))
        repair.noticed(damaged.map(\.digest))
        for blob in damaged {
          logger.error(
            "a blob is damaged; without an upstream registry or a replica that has it, push or pull it again",
            metadata: [
              "digest": "\(blob.digest)", "reason": "\(blob.reason)",
              "repositories": "\(blob.repositories.map(\.description).joined(separator: ","))",
            ])
        }
      }
    } onCancel: {
      isCancelled.set()
    }
  }

  private func wait(until due: Timestamp) async throws {
    let now = time.now()
    if due > now { try await time.sleep(for: due.since(now)) }
    try Task.checkCancellation()
  }

  private final class Flag: Sendable {
    private let flag = Atomic(false)
    var value: Bool { flag.load(ordering: .relaxed) }
    func set() { flag.store(true, ordering: .relaxed) }
  }
}
