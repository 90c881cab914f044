import KubeClient
import KubeTypes
import Schema
import Wire

/// A write on its way to the store, or a connection, as admission sees and changes it.
package struct AdmissionRequest {
  package enum Operation: Sendable {
    case create, update, delete
    /// A connection to what an object stands for: `exec`, `attach`, `portforward`, `proxy`.
    case connect
  }

  package let operation: Operation
  package let kind: KindSchema
  package let namespace: String
  /// Empty for an object that has no name yet.
  package let name: String
  package let subresource: String
  package let context: RequestContext
  /// What is to be stored; for a connection what is asked of it (`PodExecOptions` and the like), and for a deletion `null`.
  /// Nothing is stored for these two, whatever a step makes of it.
  package var object: JSON
  /// The present state, for updates and deletions.
  package let old: JSON?
  package var warnings: [String] = []
  /// To be called once each when the write has been stored, and seen by the store's watches, or has failed.
  package var reservations: [@Sendable () -> Void] = []

  package init(
    operation: Operation, kind: KindSchema, namespace: String, name: String, subresource: String,
    context: RequestContext, object: JSON, old: JSON?
  ) {
    self.operation = operation
    self.kind = kind
    self.namespace = namespace
    self.name = name
    self.subresource = subresource
    self.context = context
    self.object = object
    self.old = old
  }

  package var user: Caller { context.user }

  /// Whether an object is to be stored.
  package var isStored: Bool { operation == .create || operation == .update }

  /// Whether this is a write of `resource` of the core group itself, not of a subresource.
  package func isCore(_ resource: String) -> Bool {
    kind.group.isEmpty && kind.resource == resource && subresource.isEmpty
  }

  package mutating func endReservations() {
    for end in reservations { end() }
    reservations = []
  }

  /// A refusal of the field `path`.
  package func invalid(_ path: String, _ type: FieldError.Kind, _ value: JSON?, _ detail: String) -> KubeError {
    .invalid(
      kind: kind.groupVersionKind, name: name, [FieldError(type: type, path: path, value: value, detail: detail)])
  }

  package func forbidden(_ why: String) -> KubeError { .forbidden(kind.groupVersionResource, name, why) }
}

/// One rule about writes and connections: it completes the object, or refuses what is asked for. It is asked on an event loop and answers at once, from
/// memory.
package protocol AdmissionStep: Sendable {
  func admit(_ request: inout AdmissionRequest) throws(KubeError)
}
