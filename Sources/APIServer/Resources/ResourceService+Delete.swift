import ControllerKit
import KubeClient
import KubeTypes
import NIOCore
import Schema
import Store
import Wire

extension ResourceService {
  /// What the deletion of one object comes to.
  private struct Deletion {
    /// The state that it was decided on.
    var entry: Entry
    var key: String
    /// `nil` when nothing is to be written.
    var operation: Store.Operation?
    /// Whether the object is gone then, and not only marked.
    var isGone: Bool
    var warnings: [String]
    var reservations: [@Sendable () -> Void]

    var unchanged: Written { Written(bytes: entry.value, header: entry.header, warnings: warnings) }

    func endReservations() { for end in reservations { end() } }
  }

  /// Deletes an object, or marks it for its finalizers or its grace period.
  ///
  /// `Written.status` is set when the object is gone and its kind answers with a `Status` then.
  func delete(
    _ request: WriteRequest, options: DeleteOptions, attempt: Int = 0, completion: @escaping WriteCompletion
  ) {
    let completion = attempt == 0 ? Self.served(completion, for: request) : completion
    do throws(KubeError) {
      let deletion = try deletion(request, options)
      guard let operation = deletion.operation else {
        deletion.endReservations()
        return completion(.success(answer(deletion.unchanged, request, deletion.isGone)))
      }
      commit(operation, key: deletion.key, canBlock: request.canBlock && !deletion.isGone) { result in
        deletion.endReservations()
        switch result {
        case .success(let last):
          let written = Written(bytes: last.value, header: last.header, warnings: deletion.warnings)
          completion(.success(self.answer(written, request, deletion.isGone)))
        case .failure(let failure):
          guard failure.isConflict, attempt + 1 < Self.attemptsMax else {
            return completion(.failure(self.error(failure, request.resource, request.name)))
          }
          request.loop.execute {
            self.delete(request, options: options, attempt: attempt + 1, completion: completion)
          }
        }
      }
    } catch {
      completion(.failure(error))
    }
  }

  /// Checks, admits and decides on the present state of an object.
  private func deletion(_ request: WriteRequest, _ options: DeleteOptions) throws(KubeError) -> Deletion {
    try request.context.checkDeadline()
    let key = StoreKey.key(request.kind, namespace: request.namespace, name: request.name)
    guard let entry = store.get(key) else { throw .notFound(request.resource, request.name) }
    try Self.check(options, entry, request)
    guard let parsed = try? JSON.parse(entry.value) else {
      throw .internalError("the stored \(key) is not readable")
    }
    let current = request.kind.stored(parsed)
    var admitted = AdmissionRequest(
      operation: .delete, kind: try storageKind(request.kind), namespace: request.namespace, name: request.name,
      subresource: request.subresource, context: request.context, object: .null, old: current)
    do throws(KubeError) { try admission.admit(&admitted) } catch {
      admitted.endReservations()
      throw error
    }
    let marked = mark(current, request.kind, options)
    let isGone = Self.isFinished(marked, request.kind)
    var deletion = Deletion(
      entry: entry, key: key, operation: nil, isGone: isGone, warnings: admitted.warnings,
      reservations: admitted.reservations)
    if request.context.dryRun { return deletion }
    if isGone {
      // The last state is the object as it was: a watcher must not see a deletion mark that never was stored. Of a kind with
      // a time to end in, it says that the time is over.
      let last = request.kind.strategy.gracePeriod == nil ? current : marked
      deletion.operation = Self.removing(last, key: key, expecting: .revision(entry.revision))
    } else if marked != current {
      deletion.operation = Self.putting(marked, key: key, expecting: .revision(entry.revision))
    }
    return deletion
  }

  /// The preconditions of a deletion.
  static func check(_ options: DeleteOptions, _ entry: Entry, _ request: WriteRequest) throws(KubeError) {
    if let uid = options.preconditionUID, uid != entry.header.uid {
      throw .conflict(
        request.resource, request.name,
        "Precondition failed: UID in precondition: \(uid), UID in object meta: \(entry.header.uid)")
    }
    if let version = options.preconditionResourceVersion, version != String(entry.revision) {
      throw .conflict(
        request.resource, request.name,
        "Precondition failed: ResourceVersion in precondition: \(version), ResourceVersion in object meta: "
          + "\(entry.revision)")
    }
    if let grace = options.gracePeriodSeconds, grace < 0 {
      throw .badRequest("gracePeriodSeconds must not be negative")
    }
  }

  private func answer(_ written: Written, _ request: WriteRequest, _ isGone: Bool) -> Written {
    var written = written
    guard isGone, !request.kind.strategy.returnsDeleted else { return written }
    var details: JSONObject = ["name": .string(written.header.name)]
    if !request.kind.group.isEmpty { details["group"] = .string(request.kind.group) }
    details["kind"] = .string(request.kind.resource)
    details["uid"] = .string(written.header.uid)
    written.status = [
      "kind": "Status", "apiVersion": "v1", "metadata": [:], "status": "Success", "details": .object(details),
    ]
    return written
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
      if kind.strategy.orphansDependents, !finalizers.contains("orphan"), !finalizers.contains("foregroundDeletion") {
        finalizers.append("orphan")
      }
    }
    if finalizers != before {
      object["metadata"]?["finalizers"] = finalizers.isEmpty ? nil : .array(finalizers.map(JSON.string))
    }

    if let gracePeriod = kind.strategy.gracePeriod {
      let grace = gracePeriod(current, options.gracePeriodSeconds)
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
    kind.strategy.markDeleted?(&object)
    return object
  }

  /// How many objects of a collection, and bytes of them, are deleted by one commit: as many as an event loop may decide on
  /// while its other connections wait.
  static let batchCountMax = 20
  static let batchBytesMax = 128 << 10

  /// Deletes every object that a selector picks, in the order of their names, many with one commit. Each is checked, admitted,
  /// and marked or removed as if it were deleted alone. The first one that may not be deleted ends it.
  func deleteCollection(
    _ request: WriteRequest, objects: [Entry], options: DeleteOptions,
    completion: @escaping @Sendable (Result<[Entry], KubeError>) -> Void
  ) {
    deleteBatch(request, objects, from: 0, options: options, completion: completion)
  }

  private func deleteBatch(
    _ request: WriteRequest, _ objects: [Entry], from start: Int, options: DeleteOptions,
    completion: @escaping @Sendable (Result<[Entry], KubeError>) -> Void
  ) {
    guard start < objects.count else { return completion(.success(objects)) }
    var deletions: [Deletion] = []
    var bytes = 0
    var end = start
    var refused: KubeError?
    while end < objects.count, end - start < Self.batchCountMax, bytes < Self.batchBytesMax, refused == nil {
      do throws(KubeError) {
        let deletion = try deletion(Self.single(request, objects[end]), options)
        bytes += deletion.entry.value.count
        if deletion.operation == nil { deletion.endReservations() } else { deletions.append(deletion) }
      } catch {
        // What is gone already is as it should be.
        if error.reason != .notFound { refused = error }
      }
      end += 1
    }
    let (next, refusal, batch) = (end, refused, deletions)
    let goOn: @Sendable () -> Void = {
      if let refusal { return completion(.failure(refusal)) }
      request.loop.execute { self.deleteBatch(request, objects, from: next, options: options, completion: completion) }
    }
    if batch.isEmpty { return goOn() }
    let start = ContinuousClock.now
    store.commit(batch.compactMap(\.operation)) { result in
      self.metrics.committed(since: start)
      for deletion in batch { deletion.endReservations() }
      switch result {
      case .success: goOn()
      case .failure(let failure) where failure.isConflict:
        // One of them was changed meanwhile, and so none was deleted: each by itself, with the attempts that one has.
        request.loop.execute {
          self.deleteEach(request, batch.map(\.entry), at: 0, options: options) { result in
            if case .failure(let error) = result { completion(.failure(error)) } else { goOn() }
          }
        }
      case .failure(let failure): completion(.failure(self.error(failure, request.resource, request.name)))
      }
    }
  }

  private static func single(_ request: WriteRequest, _ object: Entry) -> WriteRequest {
    var single = request
    single.namespace = object.header.namespace
    single.name = object.header.name
    return single
  }

  private func deleteEach(
    _ request: WriteRequest, _ objects: [Entry], at index: Int, options: DeleteOptions,
    completion: @escaping @Sendable (Result<Void, KubeError>) -> Void
  ) {
    guard index < objects.count else { return completion(.success(())) }
    delete(Self.single(request, objects[index]), options: options) { result in
      if case .failure(let error) = result, error.reason != .notFound { return completion(.failure(error)) }
      request.loop.execute {
        self.deleteEach(request, objects, at: index + 1, options: options, completion: completion)
      }
    }
  }
}
