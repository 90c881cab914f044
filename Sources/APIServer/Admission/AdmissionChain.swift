import KubeClient
import KubeTypes
import Schema
import Wire

/// A write on its way to the store, as admission sees and changes it.
struct AdmissionRequest {
  enum Operation: Sendable { case create, update, delete }

  let operation: Operation
  let kind: KindSchema
  let namespace: String
  /// Empty for an object that has no name yet.
  let name: String
  let subresource: String
  let user: UserInfo
  let dryRun: Bool
  var object: JSON
  /// The present state, for updates.
  let old: JSON?
  var warnings: [String] = []
  /// To be called once each when the write has been stored, and seen by the store's watches, or has failed.
  var reservations: [@Sendable () -> Void] = []

  init(
    operation: Operation, kind: KindSchema, namespace: String, name: String, subresource: String, user: UserInfo,
    dryRun: Bool, object: JSON, old: JSON?
  ) {
    self.operation = operation
    self.kind = kind
    self.namespace = namespace
    self.name = name
    self.subresource = subresource
    self.user = user
    self.dryRun = dryRun
    self.object = object
    self.old = old
  }

  /// Whether this is a write of `resource` of the core group itself, not of a subresource.
  func isCore(_ resource: String) -> Bool {
    kind.group.isEmpty && kind.resource == resource && subresource.isEmpty
  }

  mutating func endReservations() {
    for end in reservations { end() }
    reservations = []
  }

  /// A refusal of the field `path`.
  func invalid(_ path: String, _ type: FieldError.Kind, _ value: JSON?, _ detail: String) -> KubeError {
    .invalid(
      kind: kind.groupVersionKind, name: name, [FieldError(type: type, path: path, value: value, detail: detail)])
  }

  func forbidden(_ why: String) -> KubeError { .forbidden(kind.groupVersionResource, name, why) }
}

/// One rule about writes: it completes the object, or refuses it. It answers at once, from memory.
protocol AdmissionStep: Sendable {
  func admit(_ request: inout AdmissionRequest) throws(KubeError)
}

/// The rules in their order; the first refusal ends the write.
struct AdmissionChain: Sendable {
  let steps: [any AdmissionStep]

  func admit(_ request: inout AdmissionRequest) throws(KubeError) {
    for step in steps { try step.admit(&request) }
  }
}
