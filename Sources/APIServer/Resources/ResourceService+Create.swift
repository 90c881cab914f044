import ControllerKit
import KubeClient
import KubeTypes
import NIOCore
import Schema
import Store
import Wire

extension ResourceService {
  /// Creates an object.
  ///
  /// - Parameter duplicates: the repeated keys of the body, for `fieldValidation`.
  func create(
    _ request: WriteRequest, body: JSON, duplicates: [String] = [], completion: @escaping WriteCompletion
  ) {
    do {
      var object = body
      try checkType(&object, request.kind)
      try checkPlace(&object, request)
      var warnings = try decode(&object, request.kind, request.fieldValidation, duplicates: duplicates)
      try toStorage(&object, request.kind)
      let kind = try storageKind(request.kind)
      try prepareForCreate(&object, kind)
      kind.applyDefaults(&object)
      attemptCreate(
        object, request, as: kind, warnings: &warnings, attempt: 0,
        completion: Self.served(completion, for: request))
    } catch {
      completion(.failure(error))
    }
  }

  /// The object's namespace must be that of the URL.
  func checkPlace(_ object: inout JSON, _ request: WriteRequest) throws(KubeError) {
    let namespace = object.at("metadata", "namespace")?.string ?? ""
    if request.kind.isNamespaced {
      if namespace.isEmpty {
        object["metadata"]?["namespace"] = .string(request.namespace)
      } else if namespace != request.namespace {
        throw .badRequest("the namespace of the provided object does not match the namespace sent on the request")
      }
    } else if !namespace.isEmpty {
      object["metadata"]?["namespace"] = nil
    }
  }

  private func prepareForCreate(_ object: inout JSON, _ kind: KindSchema) throws(KubeError) {
    guard var meta = object["metadata"]?.object else { throw .badRequest("metadata must be an object") }
    if let version = meta["resourceVersion"]?.string, !version.isEmpty {
      throw .badRequest("resourceVersion should not be set on objects to be created")
    }
    for key in ["managedFields", "selfLink", "deletionTimestamp", "deletionGracePeriodSeconds", "generation"] {
      meta[key] = nil
    }
    meta["resourceVersion"] = nil
    meta["uid"] = .string(identifiers.uid())
    meta["creationTimestamp"] = .string(time.now().rfc3339)
    if kind.tracksGeneration { meta["generation"] = .int(1) }
    object["metadata"] = .object(meta)
    // The status is the controllers' to write, through the subresource.
    if kind.hasStatusSubresource, !kind.strategy.bringsStatus { object["status"] = nil }
  }

  /// - Parameter kind: the kind that is stored.
  private func attemptCreate(
    _ prepared: JSON, _ request: WriteRequest, as kind: KindSchema, warnings: inout [String], attempt: Int,
    completion: @escaping WriteCompletion
  ) {
    var object = prepared
    let name: String
    let isGenerated: Bool
    if let given = object.at("metadata", "name")?.string, !given.isEmpty {
      name = given
      isGenerated = false
    } else if let base = object.at("metadata", "generateName")?.string, !base.isEmpty {
      // The suffix must fit (names.SimpleNameGenerator keeps 58 characters of the base).
      name = String(base.prefix(58)) + identifiers.suffix()
      object["metadata"]?["name"] = .string(name)
      isGenerated = true
    } else {
      name = ""
      isGenerated = false
    }
    var admitted = AdmissionRequest(
      operation: .create, kind: kind, namespace: request.namespace, name: name,
      subresource: request.subresource, context: request.context, object: object, old: nil)
    do {
      try request.context.checkDeadline()
      if !request.name.isEmpty, request.name != name {
        throw KubeError.badRequest(
          "the name of the object (\(name)) does not match the name on the URL (\(request.name))")
      }
      try admission.admit(&admitted)
      object = admitted.object
      let errors = problems(object, old: nil, request, as: kind)
      if !errors.isEmpty { throw KubeError.invalid(kind: request.kind.groupVersionKind, name: name, errors) }
    } catch let error as KubeError {
      admitted.endReservations()
      return completion(.failure(error))
    } catch {
      admitted.endReservations()
      return completion(.failure(.internalError("\(error)")))
    }
    let allWarnings = warnings + admitted.warnings + (request.isWarned ? kind.warnings(object, old: nil) : [])
    let key = StoreKey.key(request.kind, namespace: request.namespace, name: name)
    if request.context.dryRun {
      admitted.endReservations()
      if store.get(key) != nil { return completion(.failure(.alreadyExists(request.resource, name))) }
      return completion(
        .success(
          Written(code: 201, bytes: object.serialized(), header: ObjectHeader(object), warnings: allWarnings)))
    }
    let reservations = admitted.reservations
    put(
      object, key: key, expecting: .absent, canBlock: request.canBlock, usesReserve: request.usesReserve
    ) { [self] result in
      for end in reservations { end() }
      switch result {
      case .success(let entry):
        completion(
          .success(Written(code: 201, bytes: entry.value, header: entry.header, warnings: allWarnings)))
      case .failure(let failure):
        if isGenerated, failure.isExists, attempt + 1 < Self.attemptsMax {
          request.loop.execute {
            var warnings = allWarnings
            self.attemptCreate(
              prepared, request, as: kind, warnings: &warnings, attempt: attempt + 1, completion: completion)
          }
          return
        }
        completion(.failure(self.error(failure, request.resource, name)))
      }
    }
  }
}
