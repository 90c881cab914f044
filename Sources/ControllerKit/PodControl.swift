import KubeClient
import KubeTypes
import Schema
import Wire

/// Does something `count` times, in batches of 1, 2, 4, …, each batch side by side: when the server refuses the first one
/// (a quota, an admission rule), it is not asked for the other hundreds (`slowStartBatch` of kube-controller-manager).
///
/// - Parameter body: is given the number of the call, from 0.
/// - Returns: the first error; nothing is begun after the batch that it was in.
func slowStart(_ count: Int, _ body: @escaping @Sendable (Int) async throws -> Void) async -> (any Error)? {
  var begun = 0
  var batch = 1
  while begun < count {
    let numbers = begun..<min(begun + batch, count)
    let problem = await withTaskGroup(of: (any Error)?.self) { group in
      for number in numbers {
        group.addTask {
          do {
            try await body(number)
            return nil
          } catch {
            return error
          }
        }
      }
      return await group.reduce(nil) { $0 ?? $1 }
    }
    if let problem { return problem }
    begun = numbers.upperBound
    batch *= 2
  }
  return nil
}

/// Creates and deletes the pods of owners: tells each by an event of the owner, and keeps what the informer does not show
/// yet, so that no pod is made or deleted twice for one reason.
public struct PodControl: Sendable {
  private let client: any KubeClient
  private let events: EventRecorder
  private let options: WriteOptions
  private let pending = PendingWrites()

  public init(client: any KubeClient, events: EventRecorder, options: WriteOptions) {
    self.client = client
    self.events = events
    self.options = options
  }

  /// The informer's pods of an owner with what it does not show yet, and the uids of those that are being deleted.
  public func pods(of owner: String, on informer: Informer) -> (pods: [Object], deleting: Set<String>) {
    let overlay = pending.overlay(on: informer, owner: owner)
    return (overlay.objects, overlay.deleting)
  }

  /// The owner is gone.
  public func forget(owner: String) { pending.forget(owner: owner) }

  /// Creates pods by slow start.
  ///
  /// - Parameter pod: the body of each, by its number from 0.
  /// - Throws: the first error. It is told as `FailedCreate`, except for a cancellation and for a namespace that is being
  ///   deleted, with which the owner goes.
  public func create(
    _ count: Int, for owner: EventSubject, _ pod: @escaping @Sendable (Int) -> JSON
  ) async throws {
    let problem = await slowStart(count) { number in
      let created = try await client.create(
        Pod.resource, namespace: owner.namespace, name: nil, subresource: nil, body: pod(number), options: options)
      pending.created(created, owner: owner.uid)
      events.record(
        .normal, regarding: owner, reason: "SuccessfulCreate", message: "Created pod: \(created.header.name)")
    }
    guard let problem else { return }
    if !(problem is CancellationError), (problem as? KubeError)?.isNamespaceTerminating != true {
      events.record(.warning, regarding: owner, reason: "FailedCreate", message: "Error creating: \(problem)")
    }
    throw problem
  }

  /// Deletes pods side by side; one that is gone already counts as deleted.
  ///
  /// - Throws: the first error. It is told as `FailedDelete`, except for a cancellation.
  public func delete(_ pods: [ObjectHeader], for owner: EventSubject) async throws {
    let problem = await withTaskGroup(of: (any Error)?.self) { group in
      for pod in pods { group.addTask { await self.delete(pod, for: owner) } }
      return await group.reduce(nil) { $0 ?? $1 }
    }
    if let problem { throw problem }
  }

  private func delete(_ pod: ObjectHeader, for owner: EventSubject) async -> (any Error)? {
    do {
      _ = try await client.delete(
        Pod.resource, namespace: pod.namespace, name: pod.name, options: DeleteOptions(preconditionUID: pod.uid))
    } catch let error as KubeError where error.reason == .notFound {
      pending.deleted(uid: pod.uid, owner: owner.uid)
      return nil
    } catch let error as KubeError where error.reason == .conflict {
      // Another pod has the name, or too many wrote to this one: the informer tells which.
      return nil
    } catch {
      if !(error is CancellationError) {
        events.record(.warning, regarding: owner, reason: "FailedDelete", message: "Error deleting: \(error)")
      }
      return error
    }
    pending.deleted(uid: pod.uid, owner: owner.uid)
    events.record(.normal, regarding: owner, reason: "SuccessfulDelete", message: "Deleted pod: \(pod.name)")
    return nil
  }
}
