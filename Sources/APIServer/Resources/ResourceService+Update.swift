import ControllerKit
import KubeClient
import KubeTypes
import NIOCore
import Schema
import Store
import Wire

extension ResourceService {
  /// The new state of an object, made from its present one.
  typealias Change = @Sendable (_ current: JSON) throws(KubeError) -> JSON

  /// Replaces an object or its subresource.
  func update(
    _ request: WriteRequest, body: JSON, duplicates: [String] = [], completion: @escaping WriteCompletion
  ) {
    do {
      var object = body
      try checkType(&object, request.kind)
      try checkPlace(&object, request)
      let name = object.at("metadata", "name")?.string ?? ""
      if name.isEmpty {
        object["metadata"]?["name"] = .string(request.name)
      } else if name != request.name {
        throw KubeError.badRequest(
          "the name of the object (\(name)) does not match the name on the URL (\(request.name))")
      }
      let replacement = object
      modify(request, duplicates: duplicates, completion: Self.served(completion, for: request)) { _ in replacement }
    } catch {
      completion(.failure(error as? KubeError ?? .internalError("\(error)")))
    }
  }

  /// Patches an object or its subresource.
  func patch(_ request: WriteRequest, type: PatchType, body: JSON, completion: @escaping WriteCompletion) {
    let kind = request.kind
    modify(request, completion: Self.served(completion, for: request)) { (current) throws(KubeError) in
      var patched = try Self.apply(body, type: type, to: current, kind: kind)
      guard patched.object != nil else {
        throw .badRequest("the patch leaves \(patched.typeName) where an object must be")
      }
      try self.checkType(&patched, kind)
      let name = patched.at("metadata", "name")?.string
      if name != request.name {
        throw .badRequest("the name of the object (\(name ?? "")) does not match the name on the URL (\(request.name))")
      }
      try self.checkPlace(&patched, request)
      return patched
    }
  }

  static func apply(_ patch: JSON, type: PatchType, to current: JSON, kind: KindSchema) throws(KubeError) -> JSON {
    switch type {
    case .json:
      do { return try JSONPatch.apply(patch, to: current) } catch {
        if error.reason == .inapplicable {
          throw KubeError(
            code: 422, reason: .invalid,
            message: "the server rejected our request due to an error in our request: \(error)",
            details: KubeError.Details())
        }
        throw .badRequest("the JSON patch cannot be applied: \(error)")
      }
    case .merge:
      guard patch.object != nil else { throw .badRequest("a merge patch must be an object, not \(patch.typeName)") }
      return MergePatch.apply(patch, to: current)
    case .strategicMerge:
      guard patch.object != nil else {
        throw .badRequest("a strategic merge patch must be an object, not \(patch.typeName)")
      }
      do { return try kind.strategicMerge(patch, into: current) } catch {
        throw .badRequest("the strategic merge patch cannot be applied: \(error)")
      }
    }
  }

  /// Reads, changes, checks and writes an object; again when another write came between.
  func modify(
    _ request: WriteRequest, duplicates: [String] = [], attempt: Int = 0, completion: @escaping WriteCompletion,
    _ change: @escaping Change
  ) {
    let key = StoreKey.key(request.kind, namespace: request.namespace, name: request.name)
    guard let entry = store.get(key) else {
      return completion(.failure(.notFound(request.resource, request.name)))
    }
    do {
      try request.context.checkDeadline()
      guard let parsed = try? JSON.parse(entry.value) else {
        throw KubeError.internalError("the stored \(key) is not readable")
      }
      let current = request.kind.stored(parsed)
      let kind = try storageKind(request.kind)
      var object = try change(request.kind.conversion?.served(current) ?? current)
      var warnings = try decode(&object, request.kind, request.fieldValidation, duplicates: duplicates)
      try toStorage(&object, request.kind)
      try prepareForUpdate(&object, current: current, entry: entry, request)
      kind.applyDefaults(&object)
      var admitted = AdmissionRequest(
        operation: .update, kind: kind, namespace: request.namespace, name: request.name,
        subresource: request.subresource, context: request.context, object: object, old: current)
      do {
        try admission.admit(&admitted)
        object = admitted.object
        bumpGeneration(&object, current: current, request)
        let errors = problems(object, old: current, request, as: kind)
        if !errors.isEmpty {
          throw KubeError.invalid(kind: request.kind.groupVersionKind, name: request.name, errors)
        }
      } catch {
        admitted.endReservations()
        throw error
      }
      warnings += admitted.warnings
      if request.isWarned, request.subresource.isEmpty { warnings += kind.warnings(object, old: current) }

      var bare = current
      bare["metadata"]?["resourceVersion"] = nil
      object["metadata"]?["resourceVersion"] = nil
      // What is in another version's form is written anew, though nothing is changed.
      if object == bare, current["apiVersion"] == parsed["apiVersion"] {
        admitted.endReservations()
        return completion(
          .success(Written(bytes: entry.value, header: entry.header, warnings: warnings)))
      }
      if request.context.dryRun {
        admitted.endReservations()
        object["metadata"]?["resourceVersion"] = .string(String(entry.revision))
        return completion(
          .success(Written(bytes: object.serialized(), header: ObjectHeader(object), warnings: warnings)))
      }
      let final = object
      let reservations = admitted.reservations
      let finalWarnings = warnings
      let retry: @Sendable (StoreError) -> Void = { failure in
        for end in reservations { end() }
        guard failure.isConflict, attempt + 1 < Self.attemptsMax else {
          return completion(.failure(self.error(failure, request.resource, request.name)))
        }
        request.loop.execute {
          self.modify(request, duplicates: duplicates, attempt: attempt + 1, completion: completion, change)
        }
      }
      if Self.isFinished(final, request.kind) {
        remove(final, key: key, expecting: .revision(entry.revision)) { result in
          switch result {
          case .success(let last):
            for end in reservations { end() }
            completion(.success(Written(bytes: last.value, header: last.header, warnings: finalWarnings)))
          case .failure(let failure): retry(failure)
          }
        }
        return
      }
      put(final, key: key, expecting: .revision(entry.revision), canBlock: request.canBlock) { result in
        switch result {
        case .success(let entry):
          for end in reservations { end() }
          completion(.success(Written(bytes: entry.value, header: entry.header, warnings: finalWarnings)))
        case .failure(let failure): retry(failure)
        }
      }
    } catch {
      completion(.failure(error as? KubeError ?? .internalError("\(error)")))
    }
  }

  /// Whether nothing keeps a deleted object any more: no finalizer and no grace period.
  static func isFinished(_ object: JSON, _ kind: KindSchema) -> Bool {
    guard object.at("metadata", "deletionTimestamp")?.string != nil else { return false }
    if object.at("metadata", "finalizers")?.array?.isEmpty == false { return false }
    if kind.strategy.isHeld?(object) == true { return false }
    return (object.at("metadata", "deletionGracePeriodSeconds")?.int ?? 0) == 0
  }

  /// Keeps what a client cannot change: identity, life cycle, and the half that the subresource does not write.
  private func prepareForUpdate(_ object: inout JSON, current: JSON, entry: Entry, _ request: WriteRequest)
    throws(KubeError)
  {
    guard var meta = object["metadata"]?.object, let old = current["metadata"]?.object else {
      throw .badRequest("metadata must be an object")
    }
    if let version = meta["resourceVersion"]?.string, !version.isEmpty, version != String(entry.revision) {
      guard Int64(version) != nil else {
        throw .invalid(
          kind: request.kind.groupVersionKind, name: request.name,
          [
            FieldError(
              type: .invalid, path: "metadata.resourceVersion", value: .string(version),
              detail: "must be the version of a stored object")
          ])
      }
      throw .modified(request.resource, request.name)
    }
    if let uid = meta["uid"]?.string, !uid.isEmpty, uid != entry.header.uid {
      throw .conflict(
        request.resource, request.name,
        "StorageError: invalid object, Code: 4, Key: /registry/\(entry.key), ResourceVersion: 0, AdditionalErrorMsg: "
          + "Precondition failed: UID in precondition: \(uid), UID in object meta: \(entry.header.uid)")
    }
    for key in ["managedFields", "selfLink"] { meta[key] = nil }
    for key in [
      "name", "namespace", "uid", "creationTimestamp", "generation", "deletionTimestamp", "deletionGracePeriodSeconds",
      "generateName",
    ] { meta[key] = old[key] }
    if entry.header.deletionTimestamp != nil {
      let added = (meta["finalizers"]?.array ?? []).compactMap(\.string).filter {
        !entry.header.finalizers.contains($0)
      }
      if !added.isEmpty {
        throw .invalid(
          kind: request.kind.groupVersionKind, name: request.name,
          [
            FieldError(
              type: .forbidden, path: "metadata.finalizers", value: nil,
              detail: "no new finalizers can be added if the object is being deleted, found new finalizers "
                + "[\(added.map { "\"\($0)\"" }.joined(separator: " "))]")
          ])
      }
    }
    if meta["finalizers"]?.array?.isEmpty == true { meta["finalizers"] = nil }
    if meta["ownerReferences"]?.array?.isEmpty == true { meta["ownerReferences"] = nil }

    switch request.subresource {
    case "status":
      let status = object["status"]
      for key in ["ownerReferences"] + request.kind.strategy.metadataKeptByStatus { meta[key] = old[key] }
      object = current
      object["status"] = status
    case "ephemeralcontainers":
      // They are only ever added.
      let before = current.at("spec", "ephemeralContainers")?.array ?? []
      let after = object.at("spec", "ephemeralContainers")?.array ?? []
      for container in before where !after.contains(container) {
        throw .invalid(
          kind: request.kind.groupVersionKind, name: request.name,
          [
            FieldError(
              type: .forbidden, path: "spec.ephemeralContainers", value: nil,
              detail:
                "existing ephemeral containers \"\(container["name"]?.string ?? "")\" may not be changed or removed")
          ])
      }
      object = current
      meta = old
      object["spec"]?["ephemeralContainers"] = after.isEmpty ? nil : .array(after)
    case "resize":
      // Only what the containers may use changes there, not what they run.
      let wanted = object.at("spec", "containers")?.array ?? []
      var containers = current.at("spec", "containers")?.array ?? []
      for index in containers.indices {
        guard let same = wanted.first(where: { $0["name"] == containers[index]["name"] }) else { continue }
        for field in ["resources", "resizePolicy"] { containers[index][field] = same[field] }
      }
      object = current
      meta = old
      object["spec"]?["containers"] = .array(containers)
    case "approval":
      // Of the status only the conditions; labels and annotations as everywhere.
      let conditions = object.at("status", "conditions")
      object = current
      var status = current["status"] ?? [:]
      status["conditions"] = conditions
      object["status"] = status
    case "finalize":
      let finalizers = object.at("spec", "finalizers")
      object = current
      object["spec"]?["finalizers"] = finalizers
    case "binding": break
    default:
      if request.kind.hasStatusSubresource { object["status"] = current["status"] }
      request.kind.strategy.prepareUpdate?(&object, current)
    }
    object["metadata"] = .object(meta)
  }

  private func bumpGeneration(_ object: inout JSON, current: JSON, _ request: WriteRequest) {
    // It counts what users want. Where a pod runs is the scheduler's answer to that.
    guard request.kind.tracksGeneration, !["status", "binding"].contains(request.subresource) else { return }
    if object["spec"] != current["spec"] {
      object["metadata"]?["generation"] = .int((current.at("metadata", "generation")?.int ?? 0) + 1)
    }
  }
}
