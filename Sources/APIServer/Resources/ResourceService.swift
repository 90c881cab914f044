import ControllerKit
import KubeClient
import KubeTypes
import Logging
import NIOCore
import Schema
import Store
import Wire

typealias Entry = Store.Entry

/// What happens to fields that a kind does not have.
enum FieldValidation: String, Sendable {
  case ignore = "Ignore"
  case warn = "Warn"
  case strict = "Strict"
}

/// A write, whoever asks for it: a client over HTTPS or a controller in this process.
struct WriteRequest: Sendable {
  var kind: KindSchema
  /// Empty for cluster-scoped kinds.
  var namespace: String
  /// Empty for `create` with `generateName`.
  var name: String
  var subresource = ""
  var context: RequestContext
  var fieldValidation = FieldValidation.warn
  /// Whether somebody reads warnings: the controllers of this process do not.
  var isWarned = true
  /// Where a write that lost a race is tried again.
  var loop: any EventLoop
  /// Whether the thread that asks may wait for the disk (`Store.commit`). An event loop may, for the moment that a lone
  /// commit takes; the cooperative pool may not.
  var canBlock = false
  /// Whether it makes what is new also on a full disk (`Store.commit`).
  var usesReserve = false

  var resource: GroupVersionResource { kind.groupVersionResource }
}

/// The outcome of a write.
struct Written: Sendable {
  var code = 200
  var bytes: [UInt8]
  var header: ObjectHeader
  /// A `Status` that answers instead of the object, for deletions.
  var status: JSON?
  var warnings: [String] = []

  var object: Object { Object(header: header, bytes: bytes) }
}

typealias WriteCompletion = @Sendable (Result<Written, KubeError>) -> Void

/// Create, read, update, patch and delete of every kind: decoding, defaults, admission, validation and the store.
///
/// Reads are answered at once from the store's memory. Writes are prepared on the caller's thread and end in the
/// store's completion, so that no thread waits for the disk.
final class ResourceService: Sendable {
  let store: Store
  let kinds: KindRegistry
  /// The open watches of kinds that can go.
  let watches: KindWatches
  let admission: AdmissionChain
  let time: any TimeSource
  let identifiers: IdentifierSource
  let metrics: ServiceMetrics
  let logger: Logger

  /// How often a write that loses against another one is tried before it is reported as a conflict. Of the writes to one
  /// object that wait for the same commit one wins, so this is about how many may race.
  static let attemptsMax = 100

  init(
    store: Store, kinds: KindRegistry, admission: AdmissionChain, time: any TimeSource,
    identifiers: IdentifierSource, metrics: ServiceMetrics, logger: Logger
  ) {
    self.store = store
    self.kinds = kinds
    watches = KindWatches(kinds)
    self.admission = admission
    self.time = time
    self.identifiers = identifiers
    self.metrics = metrics
    self.logger = logger
  }

  /// The present kinds.
  var schemas: SchemaRegistry { kinds.current }

  /// The served kind at a resource, or 404.
  func kind(_ resource: GroupVersionResource) throws(KubeError) -> KindSchema {
    guard let kind = schemas.resource(resource) else { throw .noSuchPath() }
    return kind
  }

  func get(_ kind: KindSchema, namespace: String, name: String) throws(KubeError) -> Entry {
    guard let entry = store.get(StoreKey.key(kind, namespace: namespace, name: name)) else {
      throw .notFound(kind.groupVersionResource, name)
    }
    return Self.served(entry, as: kind)
  }

  // MARK: Forms

  /// A stored object as a kind serves it.
  static func served(_ entry: Entry, as kind: KindSchema) -> Entry {
    kind.served(entry.value).map { entry.replacing($0) } ?? entry
  }

  /// A completion that answers in the form of the kind that was asked for. It runs on the request's loop, not on the
  /// store's thread, which all writes wait for and whose stack is small.
  static func served(_ completion: @escaping WriteCompletion, for request: WriteRequest) -> WriteCompletion {
    guard request.kind.isConverted else { return completion }
    return { result in
      request.loop.execute {
        completion(
          result.map { written in
            var written = written
            written.bytes = request.kind.served(written.bytes) ?? written.bytes
            return written
          })
      }
    }
  }

  /// The kind in whose form objects of a kind are stored. Defaults and admission see that form; the client's mistakes are
  /// named in his own.
  func storageKind(_ kind: KindSchema) throws(KubeError) -> KindSchema {
    guard let conversion = kind.conversion else { return kind }
    // Both come and go together: the request has begun before the kind went.
    guard let storage = schemas.kind(conversion.storage) else { throw .noSuchPath() }
    return storage
  }

  /// Brings a decoded object into the form that is stored. What it brings along as text is checked there, too.
  func toStorage(_ object: inout JSON, _ kind: KindSchema) throws(KubeError) {
    guard let conversion = kind.conversion else { return }
    object = conversion.stored(object)
    if let problem = try storageKind(kind).decode(&object).errors.first {
      throw .badRequest("\(kind.kind) in version \"\(kind.version)\" cannot be converted: \(problem)")
    }
  }

  /// What is wrong with an object, in the words of the kind that was asked for; `old` is the stored one.
  func problems(_ object: JSON, old: JSON?, _ request: WriteRequest, as storage: KindSchema) -> [FieldError] {
    // Whatever admission and a subresource did to it: what is stored says what it is.
    assert(object["kind"]?.string == storage.kind, "an object is stored in the form of its kind")
    guard let conversion = request.kind.conversion else {
      return storage.validate(object, old: old, subresource: request.subresource)
    }
    let errors = request.kind.validate(
      conversion.served(object), old: old.map(conversion.served), subresource: request.subresource)
    return errors.isEmpty ? storage.validate(object, old: old, subresource: request.subresource) : errors
  }

  // MARK: Steps that writes share

  /// Checks a body against the kind: what the kind does not know is dropped and reported.
  ///
  /// - Returns: the warnings for the client.
  func decode(_ object: inout JSON, _ kind: KindSchema, _ validation: FieldValidation, duplicates: [String] = [])
    throws(KubeError) -> [String]
  {
    let report = kind.decode(&object)
    if let problem = report.errors.first {
      throw .badRequest(
        "\(kind.kind) in version \"\(kind.version)\" cannot be handled as a \(kind.kind): \(problem)")
    }
    guard validation != .ignore else { return [] }
    // Unknown fields come first; one that stands there twice is not told of again.
    let repeated = duplicates.filter { path in
      !report.unknownFields.contains { path == $0 || path.hasPrefix($0 + ".") || path.hasPrefix($0 + "[") }
    }
    let problems = report.unknownFieldMessages + repeated.map { "duplicate field \"\($0)\"" }
    if problems.isEmpty { return [] }
    if validation == .strict {
      throw .badRequest(
        "\(kind.kind) in version \"\(kind.version)\" cannot be handled as a \(kind.kind): strict decoding error: "
          + problems.joined(separator: ", "))
    }
    return problems
  }

  /// Puts `apiVersion` and `kind` right, and refuses an object that says it is another one.
  func checkType(_ object: inout JSON, _ kind: KindSchema) throws(KubeError) {
    guard object.object != nil else {
      throw .badRequest("the body of the request must be an object, not \(object.typeName)")
    }
    if let version = object["apiVersion"]?.string, !version.isEmpty, version != kind.groupVersion.description {
      throw .badRequest(
        "the API version in the data (\(version)) does not match the expected API version (\(kind.groupVersion))")
    }
    if let name = object["kind"]?.string, !name.isEmpty, name != kind.kind {
      throw .badRequest(
        "\(name) in version \"\(kind.version)\" cannot be handled as a \(kind.kind): converting (\(name)) to "
          + "(\(kind.kind)): unknown conversion")
    }
    object["apiVersion"] = .string(kind.groupVersion.description)
    object["kind"] = .string(kind.kind)
    if object["metadata"]?.object == nil { object["metadata"] = .object(JSONObject()) }
  }

  /// Maps what the store says; `name` is what the client asked for.
  func error(_ error: StoreError, _ resource: GroupVersionResource, _ name: String) -> KubeError {
    if error.isExists { return .alreadyExists(resource, name) }
    if error.isNotFound { return .notFound(resource, name) }
    if error.isConflict { return .modified(resource, name) }
    if error.isDiskFull {
      return KubeError(
        code: 507, reason: .unknown,
        message: "the disk that holds the server's state is full: nothing was written; free some space and try again")
    }
    if case .tooLarge(let message) = error {
      return KubeError(code: 413, reason: .requestEntityTooLarge, message: "Request entity too large: \(message)")
    }
    if case .overloaded = error {
      return KubeError(
        code: 429, reason: .tooManyRequests, message: "\(error)", details: KubeError.Details(retryAfterSeconds: 1))
    }
    logger.error("the store refused a write", metadata: ["error": "\(error)", "resource": "\(resource.resource)"])
    return .unavailable("the server's state cannot be written: \(error)")
  }

  /// Writes an object. The completion may run on the store's thread and must not block.
  func put(
    _ object: JSON, key: String, expecting precondition: Store.Precondition, canBlock: Bool,
    usesReserve: Bool = false, completion: @escaping @Sendable (Result<Entry, StoreError>) -> Void
  ) {
    commit(
      Self.putting(object, key: key, expecting: precondition), key: key, canBlock: canBlock, usesReserve: usesReserve,
      completion: completion)
  }

  /// Removes an object; its watchers see `object` as its last state, which the completion gets.
  func remove(
    _ object: JSON, key: String, expecting precondition: Store.Precondition,
    completion: @escaping @Sendable (Result<Entry, StoreError>) -> Void
  ) {
    commit(Self.removing(object, key: key, expecting: precondition), key: key, canBlock: false, completion: completion)
  }

  func commit(
    _ operation: Store.Operation, key: String, canBlock: Bool, usesReserve: Bool = false,
    completion: @escaping @Sendable (Result<Entry, StoreError>) -> Void
  ) {
    let start = ContinuousClock.now
    store.commit([operation], canBlock: canBlock, usesReserve: usesReserve) { [metrics] result in
      metrics.committed(since: start)
      completion(
        result.flatMap { entries in (entries.first ?? nil).map(Result.success) ?? .failure(.notFound(key: key)) })
    }
  }

  static func putting(_ object: JSON, key: String, expecting precondition: Store.Precondition) -> Store.Operation {
    let (bytes, revisionAt) = Canonical.encode(object)
    return .put(
      key, value: bytes, revisionAt: revisionAt, header: ObjectHeader(object), precondition: precondition)
  }

  static func removing(_ object: JSON, key: String, expecting precondition: Store.Precondition) -> Store.Operation {
    let (bytes, revisionAt) = Canonical.encode(object)
    return .delete(
      key, finalValue: bytes, revisionAt: revisionAt, header: ObjectHeader(object), precondition: precondition)
  }
}

/// Where objects live in the store: `pods/NAMESPACE/NAME`, `apps/deployments/NAMESPACE/NAME`, `nodes/NAME`. The list of
/// one namespace and that of all are prefixes.
enum StoreKey {
  static func prefix(_ kind: KindSchema, namespace: String = "") -> String {
    let stored = kind.conversion?.resource ?? kind.groupVersionResource
    let base = stored.group.isEmpty ? "\(stored.resource)/" : "\(stored.group)/\(stored.resource)/"
    return namespace.isEmpty ? base : "\(base)\(namespace)/"
  }

  static func key(_ kind: KindSchema, namespace: String, name: String) -> String {
    prefix(kind, namespace: kind.isNamespaced ? namespace : "") + name
  }
}
