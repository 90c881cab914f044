import HTTP
import Logging
import NIOCore
import Synchronization
import Telemetry
import Wire

/// Tells subscribers what happened, in order for each of them, and tries again when one does not answer.
///
/// Each subscriber has a queue of its own with a bound: a dead one loses events and holds nobody up.
final class EventQueue: Sendable {
  /// Events that wait for one subscriber.
  static let waitingMax = 10_000

  /// When to try again, and when to give up.
  struct Retry: Sendable {
    var attemptsMax = 8
    var firstDelay = Duration.seconds(1)
    var longestDelay = Duration.seconds(60)

    /// - Parameter attempt: the one that failed, from 1.
    func delay(after attempt: Int) -> Duration? {
      attempt < attemptsMax ? min(longestDelay, firstDelay * (1 << min(attempt - 1, 16))) : nil
    }
  }

  private final class Lane: Sendable {
    let notification: RegistryConfiguration.Notification
    let target: HTTPURL
    let stream: AsyncStream<RegistryEvent>
    let continuation: AsyncStream<RegistryEvent>.Continuation
    /// Ends when the subscriber is not wanted any more.
    let life: (stream: AsyncStream<Void>, continuation: AsyncStream<Void>.Continuation)

    init?(_ notification: RegistryConfiguration.Notification) {
      guard let target = HTTPURL(notification.url) else { return nil }
      self.notification = notification
      self.target = target
      (stream, continuation) = AsyncStream.makeStream(bufferingPolicy: .bufferingOldest(EventQueue.waitingMax))
      life = AsyncStream.makeStream()
    }

    func wants(_ kind: RegistryEvent.Kind, _ repository: String) -> Bool {
      notification.events.contains(kind) && notification.repositories.contains { $0.matches(repository) }
    }
  }

  private struct State {
    var lanes: [Lane] = []
    var source = ""
    var next: UInt64
    let epoch: UInt64
  }

  private let state: Mutex<State>
  private let sender: EventSender
  private let time: any TimeSource
  private let logger: Logger
  private let metrics: RegistryMetrics
  private let retry: Retry
  private let started: (stream: AsyncStream<Lane>, continuation: AsyncStream<Lane>.Continuation)

  init(
    group: any EventLoopGroup, time: any TimeSource, logger: Logger, metrics: RegistryMetrics, retry: Retry = Retry()
  ) {
    sender = EventSender(group: group)
    self.time = time
    self.logger = logger
    self.metrics = metrics
    self.retry = retry
    // Together with a count that starts again with the process: unique for the source.
    state = Mutex(State(next: 0, epoch: UInt64(bitPattern: time.now().microseconds)))
    started = AsyncStream.makeStream()
  }

  func setSource(_ source: String) { state.withLock { $0.source = source } }

  /// Subscribers that stay keep their queues; those that are gone lose theirs.
  func configure(_ notifications: [RegistryConfiguration.Notification]) {
    let (new, old) = state.withLock { state in
      var before = state.lanes
      var new: [Lane] = []
      state.lanes = notifications.compactMap { notification in
        if let index = before.firstIndex(where: { $0.notification == notification }) {
          return before.remove(at: index)
        }
        guard let lane = Lane(notification) else { return nil }
        new.append(lane)
        return lane
      }
      return (new, before)
    }
    for lane in old { lane.life.continuation.finish() }
    for lane in new { started.continuation.yield(lane) }
  }

  /// Whether anybody wants to know: reads are many, and most of the time nobody does.
  func isWanted(_ kind: RegistryEvent.Kind, _ repository: String) -> Bool {
    state.withLock { $0.lanes.contains { $0.wants(kind, repository) } }
  }

  /// Never waits. `id` and `time` are filled in.
  func post(_ event: RegistryEvent) {
    let (lanes, id) = state.withLock { state -> ([Lane], String) in
      let lanes = state.lanes.filter { $0.wants(event.kind, event.repository) }
      state.next += 1
      return (lanes, "\(String(state.epoch, radix: 16))-\(state.next)")
    }
    guard !lanes.isEmpty else { return }
    var event = event
    event.id = id
    event.time = time.now()
    for lane in lanes {
      if case .dropped = lane.continuation.yield(event) { metrics.events.increment("dropped") }
    }
  }

  /// Sends until the task is cancelled.
  func run() async throws {
    await withTaskGroup(of: Void.self) { group in
      for await lane in started.stream {
        group.addTask { await alive(as: lane.life.stream) { await self.serve(lane) } }
      }
      group.cancelAll()
    }
    try Task.checkCancellation()
  }

  private func serve(_ lane: Lane) async {
    for await event in lane.stream {
      let body = event.cloudEvent(source: state.withLock { $0.source }).serialized()
      var attempt = 1
      while !Task.isCancelled {
        let problem: String
        do {
          let status = try await sender.post(body, to: lane.target, headers: lane.notification.headers)
          if (200..<300).contains(status) {
            metrics.events.increment("delivered")
            break
          }
          problem = "status \(status)"
          // The subscriber understood and refuses: the same event again would not help.
          if (400..<500).contains(status), status != 408, status != 429 { attempt = retry.attemptsMax }
        } catch {
          problem = "\(error)"
        }
        if Task.isCancelled { return }
        guard let delay = retry.delay(after: attempt) else {
          metrics.events.increment("failed")
          logger.warning(
            "an event could not be delivered", metadata: ["host": "\(lane.target.host)", "error": "\(problem)"])
          break
        }
        metrics.events.increment("retried")
        attempt += 1
        try? await time.sleep(for: delay)
      }
    }
  }
}
