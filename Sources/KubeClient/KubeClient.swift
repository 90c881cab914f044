public import KubeTypes
public import Schema
public import Wire

/// The Kubernetes API as controllers, node and command line use it. The same protocol is served in process by the API
/// server (`APIServer.LocalClient`) and over HTTPS (`HTTPSClient`), with the same results and errors.
///
/// Every call throws `KubeError` when the server refuses it, and `CancellationError` when the task is cancelled.
public protocol KubeClient: Sendable {
  func get(_ resource: GroupVersionResource, namespace: String?, name: String) async throws -> Object

  /// `namespace` is `nil` for cluster-scoped resources and for all namespaces.
  func list(_ resource: GroupVersionResource, namespace: String?, options: ListOptions) async throws -> ObjectList

  /// Events after `options.resourceVersion`; see `WatchStream` for how it ends.
  func watch(_ resource: GroupVersionResource, namespace: String?, options: ListOptions) async throws -> WatchStream

  func create(
    _ resource: GroupVersionResource, namespace: String?, name: String?, subresource: String?, body: JSON,
    options: WriteOptions
  ) async throws -> Object

  func update(
    _ resource: GroupVersionResource, namespace: String?, name: String, subresource: String?, body: JSON,
    options: WriteOptions
  ) async throws -> Object

  func patch(
    _ resource: GroupVersionResource, namespace: String?, name: String, subresource: String?, type: PatchType,
    body: JSON, options: WriteOptions
  ) async throws -> Object

  /// The object as it now waits for its finalizers or its grace period. When it is gone, what the server has answered: the
  /// object as it was, or a `Status`.
  func delete(
    _ resource: GroupVersionResource, namespace: String?, name: String, options: DeleteOptions
  ) async throws -> Object
}

/// How a list or watch is narrowed and from where it starts.
public struct ListOptions: Sendable, Equatable {
  /// As in the URL: `app=web,tier in (a,b)`.
  public var labelSelector: String
  /// As in the URL: `spec.nodeName=a,status.phase!=Failed`.
  public var fieldSelector: String
  /// Empty for the newest state.
  public var resourceVersion: String
  /// Zero for no limit.
  public var limit: Int
  public var continueToken: String
  /// For watches: whether bookmarks are wanted.
  public var allowWatchBookmarks: Bool

  public init(
    labelSelector: String = "", fieldSelector: String = "", resourceVersion: String = "", limit: Int = 0,
    continueToken: String = "", allowWatchBookmarks: Bool = false
  ) {
    self.labelSelector = labelSelector
    self.fieldSelector = fieldSelector
    self.resourceVersion = resourceVersion
    self.limit = limit
    self.continueToken = continueToken
    self.allowWatchBookmarks = allowWatchBookmarks
  }
}

/// A list at one revision.
public struct ObjectList: Sendable {
  public var items: [Object]
  public var resourceVersion: String
  public var continueToken: String

  public init(items: [Object], resourceVersion: String, continueToken: String = "") {
    self.items = items
    self.resourceVersion = resourceVersion
    self.continueToken = continueToken
  }
}

/// A change that a watch reports.
public enum WatchEvent: Sendable {
  case added(Object)
  case modified(Object)
  /// The last state, with the revision of the deletion as its `resourceVersion`.
  case deleted(Object)
  /// Everything up to this revision has been sent.
  case bookmark(resourceVersion: String)
}

/// The events of one watch. It ends without an error when the server closes it (reconnect from the last revision seen)
/// and with `KubeError` of reason `Expired` when that revision is gone (list again). Cancelling the task that iterates,
/// or dropping the stream, ends the watch at the server.
public typealias WatchStream = AsyncThrowingStream<WatchEvent, any Error>

public struct WriteOptions: Sendable, Equatable {
  /// Who writes, for `managedFields` and logs.
  public var fieldManager: String
  public var dryRun: Bool

  public init(fieldManager: String = "apus", dryRun: Bool = false) {
    self.fieldManager = fieldManager
    self.dryRun = dryRun
  }
}

public struct DeleteOptions: Sendable, Equatable {
  /// `nil` for the kind's default; zero deletes at once.
  public var gracePeriodSeconds: Int64?
  public var propagationPolicy: PropagationPolicy?
  public var preconditionUID: String?
  public var preconditionResourceVersion: String?

  public init(
    gracePeriodSeconds: Int64? = nil, propagationPolicy: PropagationPolicy? = nil, preconditionUID: String? = nil,
    preconditionResourceVersion: String? = nil
  ) {
    self.gracePeriodSeconds = gracePeriodSeconds
    self.propagationPolicy = propagationPolicy
    self.preconditionUID = preconditionUID
    self.preconditionResourceVersion = preconditionResourceVersion
  }
}

public enum PropagationPolicy: String, Sendable {
  case background = "Background"
  case foreground = "Foreground"
  case orphan = "Orphan"
}

/// The media types of `PATCH`.
public enum PatchType: String, Sendable, CaseIterable {
  case json = "application/json-patch+json"
  case merge = "application/merge-patch+json"
  case strategicMerge = "application/strategic-merge-patch+json"
}

/// A refusal, as the `Status` object carries it.
public struct KubeError: Error, Sendable, Equatable, CustomStringConvertible {
  /// The HTTP status code.
  public var code: Int
  public var reason: Reason
  public var message: String
  /// What and where, for `status.details`.
  public var details: Details?
  /// Where a list that has expired can go on, if it need not be consistent (`status.metadata.continue`).
  public var continueToken = ""

  public struct Details: Sendable, Equatable {
    public var name: String
    public var group: String
    /// The resource or kind, as the API server writes it.
    public var kind: String
    public var uid: String
    public var causes: [Cause]
    public var retryAfterSeconds: Int?

    public init(
      name: String = "", group: String = "", kind: String = "", uid: String = "", causes: [Cause] = [],
      retryAfterSeconds: Int? = nil
    ) {
      self.name = name
      self.group = group
      self.kind = kind
      self.uid = uid
      self.causes = causes
      self.retryAfterSeconds = retryAfterSeconds
    }
  }

  public struct Cause: Sendable, Equatable {
    /// `FieldValueInvalid` and the like.
    public var reason: String
    public var message: String
    public var field: String

    public init(reason: String, message: String, field: String) {
      self.reason = reason
      self.message = message
      self.field = field
    }
  }

  /// `metav1.StatusReason`.
  public enum Reason: String, Sendable {
    case unknown = ""
    case unauthorized = "Unauthorized"
    case forbidden = "Forbidden"
    case notFound = "NotFound"
    case alreadyExists = "AlreadyExists"
    case conflict = "Conflict"
    case gone = "Gone"
    case invalid = "Invalid"
    case serverTimeout = "ServerTimeout"
    case timeout = "Timeout"
    case tooManyRequests = "TooManyRequests"
    case badRequest = "BadRequest"
    case methodNotAllowed = "MethodNotAllowed"
    case notAcceptable = "NotAcceptable"
    case requestEntityTooLarge = "RequestEntityTooLarge"
    case unsupportedMediaType = "UnsupportedMediaType"
    case internalError = "InternalError"
    case expired = "Expired"
    case serviceUnavailable = "ServiceUnavailable"
  }

  public init(code: Int, reason: Reason, message: String, details: Details? = nil) {
    self.code = code
    self.reason = reason
    self.message = message
    self.details = details
  }

  public var description: String { message.isEmpty ? "\(reason.rawValue) (\(code))" : message }

  /// Whether a creation was refused because its namespace is on its way out. For a controller that is the ordinary way of
  /// things: what it was going to make would only have to be deleted.
  public var isNamespaceTerminating: Bool {
    reason == .forbidden && details?.causes.contains { $0.reason == "NamespaceTerminating" } == true
  }
}
