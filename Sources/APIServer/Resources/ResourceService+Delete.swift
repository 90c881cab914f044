import ControllerKit
import KubeClient
import KubeTypes
import NIOCore
import Schema
import Store
import Wire

extension ResourceService {
  /// Deletes an object, or marks it for its finalizers or its grace period.
  ///
  /// `Written.status` is set when the object is gone and its kind answers with a `Status` then.
  func delete(
    _ request: WriteRequest, options: DeleteOptions, attempt: Int = 0, completion: @escaping WriteCompletion
  ) {
    let completion = attempt == 0 ? Self.served(completion, for: request) : completion
    let key = StoreKey.key(request.kind, namespace: request.namespace, name: request.name)
    guard let entry = store.get(key) else {
      return completion(.failure(.notFound(request.resource, request.name)))
    }
    do {
      if let uid = options.preconditionUID, uid != entry.header.uid {
        throw KubeError.conflict(
          request.resource, request.name,
          "Precondition failed: UID in precondition: \(uid), UID in object meta: \(entry.header.uid)")
      }
      if let version = options.preconditionResourceVersion, version != String(entry.revision) {
        throw KubeError.conflict(
          request.resource, request.name,
          "Precondition failed: ResourceVersion in precondition: \(version), ResourceVersion in object meta: "
            + "\(entry.revision)")
      }
      if let grace = options.gracePeriodSeconds, grace < 0 {
        throw KubeError.badRequest("gracePeriodSeconds must not be negative")
      }
      var admitted = AdmissionRequest(
        operation: .delete, kind: request.kind, namespace: request.namespace, name: request.name,
        subresource: request.subresource, user: request.user, dryRun: request.dryRun, object: .null, old: nil)
      try admission.admit(&admitted)
      guard let current = try? JSON.parse(entry.value) else {
        throw KubeError.internalError("the stored \(key) is not readable")
      }
      let marked = mark(current, request.kind, options)
      let isFinished = Self.isFinished(marked)
      if request.dryRun || (!isFinished && marked == current) {
        return completion(.success(answer(Written(bytes: entry.value, header: entry.header), request, isFinished)))
      }
      let retry: @Sendable (StoreError) -> Void = { failure in
        guard failure.isConflict, attempt + 1 < Self.attemptsMax else {
          return completion(.failure(self.error(failure, request.resource, request.name)))
        }
        request.loop.execute {
          self.delete(request, options: options, attempt: attempt + 1, completion: completion)
        }
      }
      if isFinished {
        // The last state is the object as it was: a watcher must not see a deletion mark that never was stored.
        let last = request.kind.kind == "Pod" ? marked : current
        remove(last, key: key, expecting: .revision(entry.revision)) { result in
          switch result {
          case .success(let written): completion(.success(self.answer(written, request, true)))
          case .failure(let failure): retry(failure)
          }
        }
      } else {
        put(marked, key: key, expecting: .revision(entry.revision), canBlock: request.canBlock) { result in
          switch result {
          case .success(let entry):
            completion(.success(Written(bytes: entry.value, header: entry.header)))
          case .failure(let failure): retry(failure)
          }
        }
      }
    } catch {
      completion(.failure(error as? KubeError ?? .internalError("\(error)")))
    }
  }

  private func answer(_ written: Written, _ request: WriteRequest, _ isGone: Bool) -> Written {
    var written = written
    guard isGone else { return written }
    switch request.resource.groupResource {
    // The kinds whose storage has ReturnDeletedObject.
    case "pods", "services", "serviceaccounts", "persistentvolumes", "persistentvolumeclaims", "podtemplates",
      "resourcequotas":
      break
    default:
      var details: JSONObject = ["name": .string(written.header.name)]
      if !request.kind.group.isEmpty { details["group"] = .string(request.kind.group) }
      details["kind"] = .string(request.kind.resource)
      details["uid"] = .string(written.header.uid)
      written.status = [
        "kind": "Status", "apiVersion": "v1", "metadata": [:], "status": "Success", "details": .object(details),
      ]
    }
    return written
  }

  /// Whether the dependents of a deleted object stay when nobody says otherwise: so it was before there was garbage
  /// collection (`DefaultGarbageCollectionPolicy`).
  private static func orphansByDefault(_ kind: KindSchema) -> Bool {
    (kind.group.isEmpty && kind.kind == "ReplicationController") || (kind.group == "batch" && kind.kind == "Job")
  }

  /// The object with what its deletion leaves on it: finalizers for the propagation policy, the deletion time, the
  /// grace period (`registry/rest.BeforeDelete`).
  private func mark(_ current: JSON, _ kind: KindSchema, _ options: DeleteOptions) -> JSON {
    var object = current
    let now = time.now()
    let wasDeleted = current.at("metadata", "deletionTimestamp")?.string != nil

    var finalizers = (current.at("metadata", "finalizers")?.array ?? []).compactMap(\.string)
    let before = finalizers
    switch options.propagationPolicy {
    case .foreground:
      finalizers.removeAll { $0 == "orphan" }
      if !finalizers.contains("foregroundDeletion") { finalizers.append("foregroundDeletion") }
    case .orphan:
      finalizers.removeAll { $0 == "foregroundDeletion" }
      if !finalizers.contains("orphan") { finalizers.append("orphan") }
    case .background:
      finalizers.removeAll { $0 == "foregroundDeletion" || $0 == "orphan" }
    case nil:
      // What is said on the object itself goes first (`registry/generic/registry`, `shouldOrphanDependents`).
      if Self.orphansByDefault(kind), !finalizers.contains("orphan"), !finalizers.contains("foregroundDeletion") {
        finalizers.append("orphan")
      }
    }
    if finalizers != before {
      object["metadata"]?["finalizers"] = finalizers.isEmpty ? nil : .array(finalizers.map(JSON.string))
    }

    if kind.kind == "Pod", kind.group.isEmpty {
      let phase = current.at("status", "phase")?.string
      let isBound = current.at("spec", "nodeName")?.string?.isEmpty == false
      var grace =
        options.gracePeriodSeconds ?? current.at("spec", "terminationGracePeriodSeconds")?.int ?? 30
      // Nothing runs that would need the time.
      if !isBound || phase == "Succeeded" || phase == "Failed" { grace = 0 }
      if wasDeleted {
        let remaining = current.at("metadata", "deletionGracePeriodSeconds")?.int ?? 0
        // A second deletion can only shorten the time.
        guard options.gracePeriodSeconds != nil || grace == 0, grace < remaining else { return object }
        if let text = current.at("metadata", "deletionTimestamp")?.string, let end = Timestamp(rfc3339: text) {
          object["metadata"]?["deletionTimestamp"] = .string(end.adding(.seconds(grace - remaining)).rfc3339)
        }
        object["metadata"]?["deletionGracePeriodSeconds"] = .int(grace)
        return object
      }
      object["metadata"]?["deletionTimestamp"] = .string(now.adding(.seconds(grace)).rfc3339)
      object["metadata"]?["deletionGracePeriodSeconds"] = .int(grace)
      if object.at("metadata", "generation") != nil {
        object["metadata"]?["generation"] = .int((current.at("metadata", "generation")?.int ?? 0) + 1)
      }
      return object
    }

    if !wasDeleted {
      object["metadata"]?["deletionTimestamp"] = .string(now.rfc3339)
      object["metadata"]?["deletionGracePeriodSeconds"] = .int(0)
      if kind.tracksGeneration {
        object["metadata"]?["generation"] = .int((current.at("metadata", "generation")?.int ?? 0) + 1)
      }
    }
    if kind.kind == "Namespace", kind.group.isEmpty {
      object["metadata"]?["deletionGracePeriodSeconds"] = nil
      object["status"]?["phase"] = "Terminating"
    }
    return object
  }

  /// Deletes every object that a selector picks, in the order of their names.
  func deleteCollection(
    _ request: WriteRequest, objects: [Entry], options: DeleteOptions,
    completion: @escaping @Sendable (Result<[Entry], KubeError>) -> Void
  ) {
    deleteNext(request, objects, at: 0, options: options, completion: completion)
  }

  private func deleteNext(
    _ request: WriteRequest, _ objects: [Entry], at index: Int, options: DeleteOptions,
    completion: @escaping @Sendable (Result<[Entry], KubeError>) -> Void
  ) {
    guard index < objects.count else { return completion(.success(objects)) }
    var single = request
    single.namespace = objects[index].header.namespace
    single.name = objects[index].header.name
    delete(single, options: options) { result in
      if case .failure(let error) = result, error.reason != .notFound { return completion(.failure(error)) }
      request.loop.execute {
        self.deleteNext(request, objects, at: index + 1, options: options, completion: completion)
      }
    }
  }
}
