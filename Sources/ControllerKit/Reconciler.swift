/// One rule of the platform: how what is below one key is brought to what it should be.
///
/// A reconciler is asked with nothing but a key, as often as anything changes that may concern it, and never twice at the
/// same time for one key. It must come to the same result whatever was missed in between (level-triggered).
public protocol Reconciler: Sendable {
  /// What it is asked about: the key of an object, or a type of its own when there is more to ask than objects.
  associatedtype Key: Hashable & Sendable
  /// All that the decision depends on, the time included.
  associatedtype Snapshot: Sendable
  associatedtype Action: Sendable

  /// For logs and metrics, such as `deployment`.
  var name: String { get }

  /// Collects the snapshot, from informers where it can; `nil` when there is nothing to do.
  func observe(_ key: Key) async throws -> Snapshot?

  /// Decides. Pure: the same snapshot gives the same plan.
  func plan(_ snapshot: Snapshot) -> Plan<Action>

  /// Does one action. Idempotent, and guarded by `resourceVersion` or uid, so that a decision on old facts fails instead
  /// of doing harm. An error ends the plan; the key is tried again after a back-off, or when something changes if the
  /// error is terminal (`TerminalError`).
  func apply(_ action: Action) async throws

  /// The object whose event says that a visit failed for good; `nil` when there is none, or it is told in another way.
  func subject(of key: Key) -> EventSubject?
}

extension Reconciler {
  public func subject(of key: Key) -> EventSubject? { nil }
}

/// What a reconciler wants to be done, in this order.
public struct Plan<Action: Sendable>: Sendable {
  public var actions: [Action]
  /// When the key should be looked at again although nothing changed.
  public var requeueAfter: Duration?

  public init(_ actions: [Action] = [], requeueAfter: Duration? = nil) {
    self.actions = actions
    self.requeueAfter = requeueAfter
  }

  /// Asks for a visit after `delay`, or earlier when an earlier one is already wanted.
  public mutating func requeue(after delay: Duration) {
    requeueAfter = min(requeueAfter ?? delay, delay)
  }
}

extension Plan: Equatable where Action: Equatable {}
