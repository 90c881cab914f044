import ControllerKit
import KubeClient
import KubeTypes
import NIOCore
import Schema
import Store
import Wire

/// Deletes a pod unless a PodDisruptionBudget forbids it (`pods/eviction`; `pkg/registry/core/pod/storage/eviction.go`).
///
/// What the budget allows is taken from it before the pod is deleted, by a write that conflicts with every other one: of two
/// evictions at one time the second sees what the first has left. The pod's name stays in the budget's status until its
/// controller has seen the pod's end, so that it does not count on the pod any more.
struct Eviction: Sendable {
  private let service: ResourceService
  /// The deletion of the pod.
  private let request: WriteRequest
  private let options: DeleteOptions
  private let completion: WriteCompletion

  private static let budgetResource = GroupVersionResource(
    group: "policy", version: "v1", resource: "poddisruptionbudgets")
  /// Pods in a budget's status that its controller has not confirmed.
  private static let disruptedPodsMax = 2000

  /// - Parameter body: the `policy/v1 Eviction`.
  init(
    _ service: ResourceService, _ request: WriteRequest, _ body: JSON, completion: @escaping WriteCompletion
  ) throws(KubeError) {
    let name = body.at("metadata", "name")?.string ?? ""
    guard name.isEmpty || name == request.name else {
      throw .badRequest("name in URL does not match name in Eviction object")
    }
    var pod = request
    pod.subresource = ""
    options =
      try body["deleteOptions"].map { (given) throws(KubeError) in
        try RequestBody.deleteOptions(given, &pod, service.schemas)
      } ?? DeleteOptions()
    self.request = pod
    self.service = service
    self.completion = completion
  }

  func run(attempt: Int = 0) {
    do throws(KubeError) {
      try request.context.checkDeadline()
      let entry = try service.get(request.kind, namespace: request.namespace, name: request.name)
      try ResourceService.check(options, entry, request)
      guard let pod = try? JSON.parse(entry.value) else {
        throw .internalError("the stored \(entry.key) is not readable")
      }
      switch try decide(pod, entry) {
      case .deletes(let isOfThisState):
        // A pod that becomes ready meanwhile is guarded.
        let isBound = isOfThisState && options.preconditionResourceVersion == nil
        delete(expecting: isBound ? entry.revision : nil, attempt: attempt)
      case .takes(let budget): take(from: budget, attempt: attempt)
      }
    } catch {
      completion(.failure(error))
    }
  }

  private enum Decision {
    case deletes(isOfThisState: Bool)
    /// From the budget of this name.
    case takes(from: String)
  }

  private func decide(_ pod: JSON, _ entry: Entry) throws(KubeError) -> Decision {
    let phase = pod.at("status", "phase")?.string
    if phase == "Succeeded" || phase == "Failed" || entry.header.deletionTimestamp != nil {
      return .deletes(isOfThisState: false)
    }
    if phase == "Pending" { return .deletes(isOfThisState: true) }
    let found = try budgets(of: entry.header)
    guard let budget = found.first else { return .deletes(isOfThisState: false) }
    guard found.count == 1 else {
      throw KubeError(
        code: 500, reason: .unknown,
        message: "This pod has more than one PodDisruptionBudget, which the eviction subresource does not support.")
    }
    let isReady = (pod.at("status", "conditions")?.array ?? []).contains {
      $0["type"]?.string == "Ready" && $0["status"]?.string == "True"
    }
    if !isReady, Self.allowsUnhealthy(budget) { return .deletes(isOfThisState: true) }
    return .takes(from: budget.at("metadata", "name")?.string ?? "")
  }

  /// A pod without labels is no budget's, whatever that selects.
  private func budgets(of pod: ObjectHeader) throws(KubeError) -> [JSON] {
    if pod.labels.isEmpty { return [] }
    let entries: [Entry]
    do throws(StoreError) {
      entries = try service.store.list(prefix: "policy/poddisruptionbudgets/\(pod.namespace)/").entries
    } catch {
      throw .unavailable("the disruption budgets cannot be read: \(error)")
    }
    var budgets: [JSON] = []
    for entry in entries {
      // It may be this pod's.
      guard let budget = try? JSON.parse(entry.value) else {
        throw .internalError("the disruption budget \(entry.header.name) cannot be read")
      }
      if let selector = try? Selector(labelSelector: budget.at("spec", "selector")), selector.matches(pod.labels) {
        budgets.append(budget)
      }
    }
    return budgets
  }

  /// Whether a pod that is not ready may go without being counted (KEP-3017).
  private static func allowsUnhealthy(_ budget: JSON) -> Bool {
    if budget.at("spec", "unhealthyPodEvictionPolicy")?.string == "AlwaysAllow" { return true }
    let desired = budget.at("status", "desiredHealthy")?.int ?? 0
    return desired > 0 && (budget.at("status", "currentHealthy")?.int ?? 0) >= desired
  }

  // MARK: The budget

  private func take(from budget: String, attempt: Int) {
    guard let kind = service.schemas.resource(Self.budgetResource) else {
      return completion(.failure(.internalError("disruption budgets are not served")))
    }
    let write = WriteRequest(
      kind: kind, namespace: request.namespace, name: budget, subresource: "status",
      context: RequestContext(
        user: .internal, fieldManager: request.context.fieldManager, dryRun: request.context.dryRun,
        deadline: request.context.deadline),
      fieldValidation: .ignore, isWarned: false, loop: request.loop, canBlock: request.canBlock)
    let (pod, time) = (request.name, service.time)
    service.modify(
      write,
      completion: { result in
        // The pod is read and deleted on the request's loop: this is the store's thread, which all writes wait for.
        switch result {
        case .success: request.loop.execute { delete(expecting: nil, attempt: 0) }
        case .failure(let error) where error.reason == .notFound && attempt + 1 < ResourceService.attemptsMax:
          // The budget is gone, and not the pod: a client would take this answer for the pod's end.
          request.loop.execute { run(attempt: attempt + 1) }
        case .failure(let error): completion(.failure(error))
        }
      },
      { (current) throws(KubeError) in try Self.taking(pod, from: current, now: time.now()) })
  }

  /// The budget without one disruption, which is the pod's.
  private static func taking(_ pod: String, from budget: JSON, now: Timestamp) throws(KubeError) -> JSON {
    var status = budget["status"] ?? [:]
    let name = budget.at("metadata", "name")?.string ?? ""
    func number(_ key: String) -> Int64 { status[key]?.int ?? 0 }
    guard number("observedGeneration") >= budget.at("metadata", "generation")?.int ?? 0 else {
      throw refusal("The disruption budget \(name) is still being processed by the server.", retryAfterSeconds: 10)
    }
    let allowed = number("disruptionsAllowed")
    guard allowed >= 0 else { throw .forbidden(budgetResource, name, "pdb disruptions allowed is negative") }
    var pods = status["disruptedPods"] ?? [:]
    guard pods.object?.count ?? 0 <= disruptedPodsMax else {
      throw .forbidden(
        budgetResource, name, "DisruptedPods map too big - too many evictions not confirmed by PDB controller")
    }
    guard allowed > 0 else {
      throw refusal(
        "The disruption budget \(name) needs \(number("desiredHealthy")) healthy pods and has "
          + "\(number("currentHealthy")) currently")
    }
    status["disruptionsAllowed"] = .int(allowed - 1)
    pods[pod] = .string(now.rfc3339)
    status["disruptedPods"] = pods
    if allowed == 1 { status["conditions"] = .array(conditions(of: status, now: now)) }
    var budget = budget
    budget["status"] = status
    return budget
  }

  /// The conditions of a budget that allows nothing any more.
  private static func conditions(of status: JSON, now: Timestamp) -> [JSON] {
    var conditions = status["conditions"]?.array ?? []
    let type = "DisruptionAllowed"
    let index = conditions.firstIndex { $0["type"]?.string == type }
    let old = index.map { conditions[$0] }
    let since = old?["status"]?.string == "False" ? old?["lastTransitionTime"] : nil
    let condition: JSON = [
      "type": .string(type), "status": "False", "reason": "InsufficientPods", "message": "",
      "observedGeneration": .int(status["observedGeneration"]?.int ?? 0),
      "lastTransitionTime": since ?? .string(now.rfc3339),
    ]
    if let index { conditions[index] = condition } else { conditions.append(condition) }
    return conditions
  }

  private static func refusal(_ why: String, retryAfterSeconds: Int? = nil) -> KubeError {
    KubeError(
      code: 429, reason: .tooManyRequests,
      message: "Cannot evict pod as it would violate the pod's disruption budget.",
      details: KubeError.Details(
        causes: [KubeError.Cause(reason: "DisruptionBudget", message: why, field: "")],
        retryAfterSeconds: retryAfterSeconds))
  }

  // MARK: The pod

  /// - Parameter revision: the state of the pod that was decided on; when it has another one, it is decided again.
  private func delete(expecting revision: Int64?, attempt: Int) {
    var options = options
    if let revision { options.preconditionResourceVersion = String(revision) }
    service.delete(request, options: options) { result in
      switch result {
      case .success(var written):
        written.code = 201
        written.status = Subresources.success()
        completion(.success(written))
      case .failure(let error):
        guard revision != nil, error.reason == .conflict, attempt + 1 < ResourceService.attemptsMax else {
          return completion(.failure(error))
        }
        request.loop.execute { run(attempt: attempt + 1) }
      }
    }
  }
}
